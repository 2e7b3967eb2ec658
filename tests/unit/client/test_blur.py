"""Faces made unrecognisable: what is left of them, in which places, and in which pictures of a video."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tritonface import Box, DetectionResult, ImageError, InvalidArgumentError, VideoFrame
from tritonface._blur import CELLS, hide
from tritonface.integrations import blur, blur_frames

NOISE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def result(*boxes_xyxy_px: list[float], error: ImageError | None = None) -> DetectionResult:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "PNG")
    boxes = [Box(cls_id=0, label="face", score=0.9, coordinate=box) for box in boxes_xyxy_px]
    return DetectionResult("a.png", boxes, file_name="a.png", origin="a.png", encoded=buffer.getvalue(), error=error)


def test_without_faces_nothing_changes() -> None:
    assert np.array_equal(blur(NOISE, result()), NOISE)
    picture = result().picture()
    assert blur(picture, result()).tobytes() == picture.tobytes()


@pytest.mark.parametrize("style", ["pixelate", "blur", "fill"])
@pytest.mark.parametrize("side_px", [6, 12, 60])
def test_what_is_left_of_a_face_does_not_depend_on_its_size(style: str, side_px: int) -> None:
    hidden = hide(NOISE, [[40, 30, 40 + side_px, 30 + side_px]], 0.0, style)  # type: ignore[arg-type]
    face = hidden[30 : 30 + side_px, 40 : 40 + side_px]
    assert len(np.unique(face.reshape(-1, 3), axis=0)) <= CELLS**2 or style == "blur"
    smallest = Image.fromarray(face).resize((CELLS, CELLS), Image.Resampling.BOX)
    again = np.asarray(smallest.resize((side_px, side_px), Image.Resampling.BICUBIC if style == "blur" else 0))
    assert np.abs(again.astype(int) - face).mean() < 8  # as much as those few averages hold, noise having some 64
    outside = np.ones(NOISE.shape[:2], bool)
    outside[30 : 30 + side_px, 40 : 40 + side_px] = False
    assert np.array_equal(hidden[outside], NOISE[outside])


def test_the_margin_and_the_edges_of_the_picture() -> None:
    hidden = hide(NOISE, [[-5, 10, 15, 30], [150, 110, 200, 200], [300, 0, 310, 10]], 0.5, "fill")
    black = ~hidden.any(axis=2)
    assert black[0:40, 0:25].all() and not black[0:40, 26:100].any() and not black[41:60, 0:25].any()
    assert black[65:120, 125:160].all() and black.sum() == 40 * 25 + 55 * 35


def test_what_is_hidden_already_is_not_done_again() -> None:
    once = hide(NOISE, [[40, 30, 80, 70]], 0.25, "pixelate")
    assert np.array_equal(hide(NOISE, [[40, 30, 80, 70], [42, 31, 81, 72]], 0.25, "pixelate"), once)
    beyond_an_edge = [29, 30, 69, 70], [40, 19, 80, 59], [51, 30, 91, 70], [40, 41, 80, 81]
    for box in (*beyond_an_edge, [31, 21, 89, 79]):  # the last one is too large for squares of that size
        assert not np.array_equal(hide(NOISE, [[40, 30, 80, 70], box], 0.25, "pixelate"), once)


def test_pictures_of_both_kinds_give_the_same() -> None:
    found = result([20, 20, 60, 70])
    array = blur(NOISE, found)
    assert array is not NOISE and not np.array_equal(array, NOISE)
    assert np.array_equal(np.asarray(blur(found.picture(), found)), array)
    assert np.array_equal(blur(NOISE[:, :, ::-1], found), array[:, :, ::-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": -1}, "margin must be"),
        ({"margin": float("nan")}, "margin must be"),
        ({"margin": float("inf")}, "margin must be"),
        ({"style": "mist"}, "fill"),
    ],
)
def test_options_of_no_use(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        blur(NOISE, result(), **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=message):
        blur_frames([], **options)  # type: ignore[arg-type]


def test_a_picture_that_is_not_the_results() -> None:
    for picture in (NOISE[:, :100], np.rot90(NOISE), NOISE[:, :, 0], NOISE / 255):
        with pytest.raises(InvalidArgumentError, match="160 x 120"):
            blur(picture, result([0, 0, 9, 9]))
    with pytest.raises(ImageError, match="broken"):
        blur(NOISE, result(error=ImageError("broken")))


def frames(count: int, faces_in: set[int], taken: list[int]) -> Iterator[VideoFrame]:
    for index in range(count):
        taken.append(index)
        yield VideoFrame(index, index / 25, NOISE, result(*[[40, 30, 80, 70]] * (index in faces_in)))


@pytest.mark.parametrize("held", [0, 1, 5])
@pytest.mark.parametrize(("count", "faces_in"), [(0, set()), (3, {0}), (3, {2}), (30, {12}), (30, {0, 29})])
def test_a_face_is_hidden_in_the_pictures_around(held: int, count: int, faces_in: set[int]) -> None:
    blurred = blur_frames(frames(count, faces_in, []), held=held)
    changed = {frame.index for frame, image in blurred if (image != NOISE).any()}
    assert changed == {index for index in range(count) if any(abs(index - face) <= held for face in faces_in)}


def test_no_more_pictures_are_held_than_are_needed() -> None:
    taken: list[int] = []
    blurred = blur_frames(frames(30, set(), taken), held=3)
    assert taken == [] and next(blurred)[0].index == 0 and taken == [0, 1, 2, 3]
    assert [frame.index for frame, _ in blurred] == list(range(1, 30))
