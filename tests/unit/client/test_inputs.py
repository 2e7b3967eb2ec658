"""Inputs taken apart: what each value of `predict` stands for."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonface import ImageError, InvalidArgumentError, UrlPolicy, _data_url
from tritonface._inputs import iterate_sources

GREY = np.zeros((2, 2), np.uint8)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], []),
        ((), []),
        ([[], [[]]], []),
        ("a.jpg", ["a.jpg"]),
        (Path("a.jpg"), ["a.jpg"]),
        ("http://example.org/a.jpg", ["http://example.org/a.jpg"]),
        (GREY, [None]),
        ([GREY, "b.png", ("HTTPS://example.org/c", [Path("d")])], [None, "b.png", "HTTPS://example.org/c", "d"]),
    ],
)
def test_what_a_value_stands_for(value: object, expected: list[str | None]) -> None:
    sources = list(iterate_sources(value))
    assert [source.input_path for source in sources] == expected
    assert [source.index for source in sources] == list(range(len(expected)))


@pytest.mark.fault("A6")
@pytest.mark.parametrize("value", ["", [""], ["a.jpg", ""]])
def test_an_empty_text_is_no_folder(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="an input is an empty string"):
        list(iterate_sources(value))


@pytest.mark.parametrize("value", [None, 7, b"bytes", {"a.jpg"}, [None], object()])
def test_other_values(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot read images from a value of type"):
        list(iterate_sources(value))


def load(value: object) -> bytes:
    (source,) = iterate_sources(value)
    return asyncio.run(source.load(UrlPolicy(allowed=False), None)).original


class BytesPath:
    """A path as `os.scandir(b".")` gives it."""

    def __fspath__(self) -> bytes:
        return b"gone.jpg"


@pytest.mark.fault("A7")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x" * 300, "File name too long; an image in base64 is passed as a URL, 'data:image/jpeg;base64"),
        ("/9j/" + "A" * 10**6, r"cannot read '/9j/A+\.\.\. \(1,000,004 characters\)': File name too long"),
        (Path("x" * 300), "File name too long"),
        ("a/" * 5000, "too long"),
        ("gone.jpg", "No such file"),
        ("   ", "No such file"),
        ("nul\0.jpg", "cannot read"),
        ("\ud800.jpg", "cannot read"),
        (BytesPath(), "cannot read 'gone.jpg': No such file"),
        (
            "file:///a/b%20c.jpg",
            r"cannot read 'file:///a/b%20c.jpg': only http, .*; pass the path itself, '/a/b c.jpg'",
        ),
        ("file://localhost/a.jpg", "pass the path itself, '/a.jpg'"),
        ("file:a.jpg", "pass the path itself, 'a.jpg'"),
        ("s3://bucket/a.jpg", "cannot read 's3://bucket/a.jpg': only http, https and data URLs are read; download it"),
        ("FTP://h/a.jpg", "download it first"),
        ("gs://[", "download it first"),
        ("http://[", "fetching is off"),
        ("data:", "has no comma"),
        ("data:image/png;base64,!!!!", "its data are not base64"),
        ("data:image/png;base64,AAAAA", "its data are not base64"),
    ],
)
def test_what_cannot_be_read_is_said_by_an_exception_of_ours(value: object, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        load(value)
    assert len(str(caught.value)) < 800 or not isinstance(value, str)


@pytest.mark.fault("A7")
@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:image/png;base64,aGVsbG8=", b"hello"),
        ("data:;base64,aGVsbG8", b"hello"),
        ("DATA:image/png;name=a.png;BASE64,aGVs bG8\n=", b"hello"),
        ("data:image/png;base64,%61GVsbG8%3D", b"hello"),
        ("data:,a%20b+c", b"a b+c"),
        ("data:image/png;base64,", b""),
    ],
)
def test_data_urls(url: str, data: bytes) -> None:
    assert load(url) == data


@pytest.mark.fault("A7")
@pytest.mark.parametrize("beginning", ["data:image/png;base64,", "data:,"])
def test_the_size_of_a_data_url_is_guarded(beginning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_data_url, "MAX_ENCODED_BYTES", 300)
    monkeypatch.setattr(_data_url, "LONGEST", 900)
    whole = base64.b64encode(bytes(300)).decode() if "base64" in beginning else "%00" * 300
    assert load(beginning + whole) == bytes(300)
    longer = base64.b64encode(bytes(301)).decode() if "base64" in beginning else "A" * 301
    for body in (longer, "A" * 10_000, "%00" * 500):
        if body != longer:
            monkeypatch.setattr(base64, "b64decode", None)  # not even decoded
        with pytest.raises(ImageError, match="holds more than the limit"):
            load(beginning + body)


def test_a_data_url_is_shown_in_part() -> None:
    (source,) = iterate_sources("data:image/png;base64," + "A" * 1000)
    assert source.input_path == "data:image/png;base64," + "A" * 42 + "... (1,022 characters)"
    assert not source.has_a_name


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images under names that do not say so, other files, and what must not be opened."""
    picture = Image.new("RGB", (8, 8))
    for name, kind in [
        ("a.jpg", "JPEG"),
        ("b.jfif", "JPEG"),
        ("c.jpe", "JPEG"),
        ("d.gif", "GIF"),
        ("e", "TIFF"),
        ("f.dat", "PNG"),
        ("g.WEBP", "WEBP"),
        ("h.jpg.bak", "BMP"),
        ("sub/.thumb.jpg", "JPEG"),
        (".cache/x.jpg", "JPEG"),
        ("._a.jpg", "JPEG"),
    ]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        picture.save(path, kind)
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    (tmp_path / "i.avif").write_bytes(b"\0\0\0\x20ftypavif")
    for name in ("notes.txt", "empty", "sub/report.pdf", "BMW.md"):
        (tmp_path / name).write_text("" if name == "empty" else "BMW and other things")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dead.jpg").symlink_to("gone.jpg")
    return tmp_path


@pytest.mark.fault("A8")
def test_content_decides_what_is_an_image_in_a_folder(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    sources = list(iterate_sources([photos, photos / "a.jpg"]))
    names = ["a.jpg", "b.jfif", "c.jpe", "d.gif", "damaged.png", "e", "f.dat", "g.WEBP", "h.jpg.bak", "i.avif", "a.jpg"]
    assert [source.file_name for source in sources] == names
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tritonface", "WARNING")
    left_out = ("BMW.md", "empty", "notes.txt", "report.pdf")
    assert "left out 4, no images" in caplog.text and all(name in caplog.text for name in left_out)
    for source in sources[:4] + sources[5:9]:
        assert asyncio.run(source.load(UrlPolicy(), 16)).sent  # a TIFF without a suffix too


@pytest.mark.fault("A8")
def test_many_are_left_out_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(20):
        (tmp_path / f"{i:02d}.txt").touch()
    (tmp_path / "z.jpg").touch()
    assert len(list(iterate_sources([tmp_path, tmp_path]))) == 2
    (record,) = caplog.records
    assert record.getMessage().startswith("left out 40, no images") and record.getMessage().endswith("04.txt, ...")


def test_a_directory_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidArgumentError, match=r"no image in directory .*: 1 other files"):
        list(iterate_sources(tmp_path))


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        (GREY, "image_000003.png"),
        (Path("/a/b.jpg"), "b.jpg"),
        ("http://h/a/b.jpg?x=/y.png#z", "b.jpg"),
        ("http://h/%E4%BA%BA.png", "人.png"),
        ("http://h/..%2F..%2Fetc%2Fx.png", "x.png"),
        ("http://h/a%5C..%5Cb.png", "a..b.png"),
        ("http://h/", "image_000003.png"),
        ("http://h", "image_000003.png"),
        ("http://[h", "image_000003.png"),
        ("data:image/png;base64,a/b.png", "image_000003.png"),
    ],
)
def test_file_names_of_results(origin: object, name: str) -> None:
    (source,) = iterate_sources(origin, itertools.count(3))
    assert source.file_name == name
