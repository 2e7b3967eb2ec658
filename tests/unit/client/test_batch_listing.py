"""INPUT as pieces: the same files give the same pieces and fingerprint, others others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tritonface import InvalidArgumentError
from tritonface._batch.listing import Listing, list_inputs
from tritonface._batch.worker import piece_of, text_of


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("b.jpg", "inner/a.png", "c.jpg", ".hidden.jpg", "notes.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def listed(*inputs: str | Path, piece_size: int = 2) -> Listing:
    return list_inputs(map(str, inputs), None, piece_size)


def names(listing: Listing) -> list[list[str]]:
    return [[Path(path).name for _, path in piece.items] for piece in listing.pieces]


def test_an_empty_text_a_glob_without_a_match_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    for text, message in (("", "empty string"), (f"{tmp_path}/*.jpg", "no file matches"), (tmp_path, "no image in")):
        with pytest.raises(InvalidArgumentError, match=message):
            listed(text)


def test_a_folder_is_its_pictures_in_order_cut_into_pieces(photos: Path) -> None:
    listing = listed(photos)
    assert names(listing) == [["b.jpg", "c.jpg"], ["a.png"]]
    assert [(piece.index, piece.first_id, piece.count) for piece in listing.pieces] == [(0, 0, 2), (1, 2, 1)]
    assert listing.count == 3


def test_inputs_follow_each_other_and_a_glob_takes_what_it_matches(photos: Path) -> None:
    listing = listed(photos / "c.jpg", f"{photos}/**/*.png", photos / "missing.jpg", piece_size=9)
    assert names(listing) == [["c.jpg", "a.png", "missing.jpg"]]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "a[1].jpg"
    path.write_bytes(b"x")
    assert names(listed(path)) == [["a[1].jpg"]]


def test_the_fingerprint_is_of_names_sizes_and_order(photos: Path) -> None:
    before = listed(photos).fingerprint
    assert listed(photos, piece_size=3).fingerprint == before
    assert (
        listed(photos / "c.jpg", photos / "b.jpg").fingerprint != listed(photos / "b.jpg", photos / "c.jpg").fingerprint
    )
    (photos / "b.jpg").write_bytes(b"another size")
    assert listed(photos).fingerprint != before


def test_a_piece_survives_being_a_text_whatever_the_names_are(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.jpg"))
    path.write_bytes(b"x")
    [piece] = listed(path).pieces
    assert piece_of(text_of(piece)) == piece
