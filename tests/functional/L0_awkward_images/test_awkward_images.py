"""The corpus of awkward files through a running server: what is taken, what is said of it, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.corpus.files import File, corpus
from tritonface import ImageError, create_model
from tritonface_server.image_file import CUT_OFF
from tritonface_server.limits import MAX_BATCH_SIZE
from tritonface_server.server import TritonServer

CORPUS = corpus()
GOOD = next(file for file in CORPUS if file.refusal is None and not file.cut_off)
CUT = next(file for file in CORPUS if file.cut_off)


def infer(server: TritonServer, client: ModuleType, files: list[File], strict: list[bool] | None) -> list[list[str]]:
    """The rows of `error` and `warning`."""
    images = np.array([[file.data] for file in files], object)
    tensors = {"image": (images, "BYTES"), "img_size": (np.full((len(files), 2), 32, np.int32), "INT32")}
    if strict is not None:
        tensors["strict"] = (np.array(strict)[:, None], "BOOL")
    inputs = []
    for name, (array, kind) in tensors.items():
        inputs.append(client.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    url = server.endpoints.grpc if client is tritonclient.grpc else server.endpoints.http
    with client.InferenceServerClient(url) as connection:
        reply = connection.infer("BlazeFace", inputs)
    return [[row.decode() for row in reply.as_numpy(name)[:, 0]] for name in ("error", "warning")]


@pytest.mark.fault("A4")
@pytest.mark.fault("A9")
@pytest.mark.parametrize("client", [tritonclient.grpc, tritonclient.http], ids=["grpc", "http"])
def test_the_corpus(server: TritonServer, client: ModuleType) -> None:
    for start in range(0, len(CORPUS), MAX_BATCH_SIZE - 1):
        files = [GOOD, *CORPUS[start : start + MAX_BATCH_SIZE - 1]]
        for file, error, warning in zip(files, *infer(server, client, files, None), strict=True):
            assert re.search(file.refusal, error) if file.refusal else error == "", (file, error)
            assert warning == (CUT_OFF if file.cut_off else ""), file


@pytest.mark.fault("A4")
@pytest.mark.parametrize("client", [tritonclient.grpc, tritonclient.http], ids=["grpc", "http"])
def test_strictness_is_a_matter_of_each_image(server: TritonServer, client: ModuleType) -> None:
    errors, warnings = infer(server, client, [GOOD, CUT, CUT, GOOD], [True, True, False, False])
    assert ["cut off" in error for error in errors] == [False, True, False, False]
    assert warnings == ["", "", CUT_OFF, ""]
    with pytest.raises(tritonclient.utils.InferenceServerException, match="cut off, and `strict`"):
        infer(server, client, [CUT], [True])


@pytest.fixture
def cut_photo(tmp_path: Path, solvay: Path) -> Path:
    """The upper half of a photo."""
    path = tmp_path / "cut.jpg"
    path.write_bytes(solvay.read_bytes()[: solvay.stat().st_size // 2])
    return path


@pytest.mark.fault("A4")
@pytest.mark.parametrize("max_side_px", [None, 400, 2000])
def test_the_sdk_tells_that_a_photo_is_cut_off(
    address: dict[str, str], solvay: Path, cut_photo: Path, max_side_px: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is shrunk before it is sent, too."""
    with create_model("BlazeFace", max_side_px=max_side_px, **address) as model:
        whole, cut = model.predict([solvay, cut_photo])
    assert whole.warning is None and cut.warning == CUT_OFF
    assert 0 < len(cut) < len(whole) and cut.error is None
    assert cut.picture().size == whole.picture().size
    assert f"{str(cut_photo)!r}: {CUT_OFF}" in caplog.text


@pytest.mark.fault("A4")
@pytest.mark.parametrize("max_side_px", [None, 400, 2000])
def test_the_sdk_is_strict_if_it_is_told_to_be(
    address: dict[str, str], solvay: Path, cut_photo: Path, max_side_px: int | None
) -> None:
    with create_model("BlazeFace", max_side_px=max_side_px, strict=True, **address) as model:
        whole, cut = model.predict([solvay, cut_photo], on_error="yield")
        assert whole.error is None and len(whole) > 10
        assert isinstance(cut.error, ImageError) and "cut off, and `strict`" in cut["error"]
        with pytest.raises(ImageError, match=r"cut\.jpg.*cut off"):
            model.predict(cut_photo).__next__()


@pytest.mark.fault("A1")
@pytest.mark.fault("A2")
def test_results_can_be_drawn_on_every_file_that_is_taken(address: dict[str, str], tmp_path: Path) -> None:
    taken = [file for file in CORPUS if file.refusal is None]
    for number, file in enumerate(taken):
        (tmp_path / f"{number:04d}").write_bytes(file.data)
    with create_model("BlazeFace", img_size=32, **address) as model:
        for file, result in zip(
            taken, model.predict([tmp_path / f"{n:04d}" for n in range(len(taken))], 16), strict=True
        ):
            assert result.warning == (CUT_OFF if file.cut_off else None), file
            if file.picture is not None:
                assert result.img["res"].size == file.picture.shape[1::-1], file
