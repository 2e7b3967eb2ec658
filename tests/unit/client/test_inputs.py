"""Inputs taken apart: what each value of `predict` stands for."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tritonface import InvalidArgumentError
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


@pytest.mark.parametrize("value", [None, 7, b"bytes", {"a.jpg"}, [None], object()])
def test_other_values(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot read images from a value of type"):
        list(iterate_sources(value))


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
