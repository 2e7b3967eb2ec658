"""Server, SDK and training read the same awkward files in the same way."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.corpus.files import JPEG, PNG, WEBP, File, corpus
from tests.corpus.pieces import (
    NOISE,
    PICTURE,
    app1_exif,
    app1_xmp,
    chunk,
    encoded,
    itxt_xmp,
    jpeg_with,
    png_with,
    webp_with,
)
from training.coco_format import CocoImage
from training.dataset_pictures import check_pictures
from training.dataset_problems import Problems
from tritonface import ImageError as SdkImageError
from tritonface._images import open_image as sdk_open
from tritonface._images import open_upright
from tritonface_server.image_file import CUT_OFF
from tritonface_server.images import ImageError, decode, open_image

ROOT = Path(__file__).parents[2]
COPIES = ROOT / "server/tritonface_server/image_file", ROOT / "client/tritonface/_image_file"
DECODERS_DIFFER_BY = 4  # libjpeg-turbo, libwebp: versions, not pictures
LOSS = 12  # of the encoders, at the edges of colours

CORPUS = corpus()
TAKEN = [file for file in CORPUS if file.refusal is None]
REFUSED = [file for file in CORPUS if file.refusal is not None]


def marked(files: list[File]) -> list[object]:
    return [
        pytest.param(file, id=str(file), marks=[pytest.mark.fault(file.fault)] * bool(file.fault)) for file in files
    ]


def test_the_two_copies_are_the_same() -> None:
    server, client = ({path.name: path.read_text() for path in folder.glob("*.py")} for folder in COPIES)
    assert server == client and len(server) == 8


@pytest.mark.parametrize("file", marked(TAKEN))
def test_taken(file: File) -> None:
    """The same size, warning and pixels."""
    opened = open_image(file.data)
    assert sdk_open(file.data) == tuple(opened)
    assert opened.header.cut_off == file.cut_off
    served = decode(opened)[:, :, ::-1].astype(int)
    shown = np.asarray(open_upright(file.data)).astype(int)
    assert served.shape[1::-1] == shown.shape[1::-1] == opened.header.upright_wh
    assert np.abs(served - shown).max() <= DECODERS_DIFFER_BY
    if file.picture is not None:
        assert np.abs(served - file.picture).mean() < LOSS


@pytest.mark.parametrize("file", marked(REFUSED))
def test_refused(file: File) -> None:
    """For the same reason."""
    with pytest.raises(ImageError, match=file.refusal) as served:
        decode(open_image(file.data))
    with pytest.raises(SdkImageError, match=file.refusal) as read:
        open_upright(file.data)
    assert str(served.value) == str(read.value)


@pytest.mark.fault("A4")
@pytest.mark.parametrize(("image_format", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})])
def test_a_cut_anywhere_is_read_alike(image_format: str, options: dict[str, object]) -> None:
    """The later the cut, the more is there: once a file is taken, it stays taken."""
    data = encoded(image_format, picture=NOISE[:16, :24], **options)
    taken = []
    for end in range(1, len(data)):
        try:
            served = decode(open_image(data[:end]))
        except ImageError:
            with pytest.raises(SdkImageError):
                open_upright(data[:end])
        else:
            assert np.array_equal(served[:, :, ::-1], open_upright(data[:end])), end
            taken.append(end)
    assert taken == list(range(taken[0], len(data)))


@pytest.mark.fault("A4")
@pytest.mark.parametrize("file", marked([file for file in TAKEN if file.cut_off]))
def test_strictness_refuses_what_is_cut_off(file: File) -> None:
    with pytest.raises(ImageError, match="cut off"):
        open_image(file.data, strict=True)


@pytest.mark.fault("A1")
@pytest.mark.fault("A4")
def test_a_data_set_is_checked_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What training would refuse is refused when the data set is read, and nothing else."""
    images = []
    for number, file in enumerate(CORPUS):
        (tmp_path / str(number)).write_bytes(file.data)
        size_wh = (1, 1) if file.refusal else open_image(file.data).header.upright_wh
        images.append(CocoImage(number, str(number), size_wh, *[np.empty(0)] * 4))
    problems = Problems("corpus")
    check_pictures(tmp_path, images, problems)
    refused = "".join(problems.by_kind.pop("images are unreadable"))
    assert [file.name for file in REFUSED] == [
        file.name for number, file in enumerate(CORPUS) if f"image {number} " in refused
    ]
    assert not problems.by_kind
    assert f"{sum(file.cut_off for file in TAKEN)} images: {CUT_OFF}" in caplog.text


MANY = {
    "jpeg of malformed exif": lambda: jpeg_with(
        JPEG, *[app1_exif(b"MM\0*" + bytes(3) + b"\x08" + b"\xff" * 12_000)] * 4000
    ),
    "jpeg of xmp": lambda: jpeg_with(JPEG, *[app1_xmp(b"tiff:Orientation" * 900)] * 4000),
    "png of bombs": lambda: png_with(
        PNG, *[chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(2**20)))] * 30_000
    ),
    "png of packed xmp": lambda: png_with(PNG, *[itxt_xmp(bytes(2**20), packed=True)] * 30_000),
    "png of empty chunks": lambda: png_with(PNG, *[chunk(b"tEXt", b"")] * 90_000),
    "webp of exif": lambda: webp_with(WEBP, *[(b"EXIF", b"MM\0*" + bytes(3) + b"\x08" + b"\xff" * 12_000)] * 4000),
}


@pytest.mark.fault("A3")
@pytest.mark.parametrize("name", MANY)
def test_metadata_cost_little_however_many_they_are(name: str) -> None:
    data = MANY[name]()
    began = time.process_time()
    opened = open_image(data)
    assert time.process_time() - began < 3  # unpacked or walked through, all of it would take minutes
    assert opened.header.orientation == 1 and decode(opened).shape == PICTURE.shape


def test_the_corpus_is_small() -> None:
    assert len({file.name for file in CORPUS}) == len(CORPUS) > 300
    assert PICTURE.shape == (32, 48, 3)
