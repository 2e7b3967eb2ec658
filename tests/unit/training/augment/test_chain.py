from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.augment_samples import assert_on_faces, assert_same, assert_sound, coloured_sample, crowd, empty_sample
from training.augment import Augmentation, Sample, chain, resize_sample
from training.augment.chain import apply_steps
from training.augment.colour import distort
from training.detectors import DETECTORS

SIZE_PX = 320
SEEDS = range(60)
every_detector = pytest.mark.parametrize("name", DETECTORS)


def augmentation(name: str) -> Augmentation:
    return chain(DETECTORS[name].augmentations(SIZE_PX))


def without_colours(name: str) -> Augmentation:
    steps = DETECTORS[name].augmentations(SIZE_PX)
    kept = tuple(step for step in steps if getattr(step, "func", step) is not distort)
    assert len(kept) == len(steps) - 1
    return partial(apply_steps, steps=kept)


@every_detector
def test_no_boxes(name: str) -> None:
    augment = augmentation(name)
    for seed in SEEDS:
        result = augment(empty_sample(), np.random.default_rng(seed))
        assert_sound(result)
        assert len(result.labels) == 0


@every_detector
@pytest.mark.parametrize(
    ("size_wh", "boxes"),
    [
        ((1, 1), [[0, 0, 1, 1]]),
        ((2, 300), [[0, 0, 1, 300], [1, 4, 2, 5]]),
        ((300, 2), [[0, 0, 300, 2], [299, 0, 300, 1]]),
        ((64, 64), [[0, 0, 64, 64]]),
        ((200, 120), [[0, 0, 5, 110], [195, 110, 200, 120]]),
    ],
)
def test_odd_sizes(name: str, size_wh: tuple[int, int], boxes: list[list[int]]) -> None:
    augment = augmentation(name)
    for seed in SEEDS:
        result = augment(coloured_sample(size_wh, boxes), np.random.default_rng(seed))
        assert_sound(result)
        assert_sound(resize_sample(result, SIZE_PX, "linear"))


@every_detector
def test_boxes_thinner_than_a_float_can_tell(name: str) -> None:
    augment, picture = augmentation(name), crowd().picture
    for x in (0.0, 0.3, 300.0, 638.0):
        next_x = np.nextafter(np.float32(x), np.float32(np.inf))
        sliver = Sample(picture, np.array([[x, 10, next_x, 60]], np.float32), np.zeros(1, np.int64))
        for seed in SEEDS:
            assert_sound(augment(sliver, np.random.default_rng(seed)))


@every_detector
def test_a_crowd_keeps_its_form_and_is_not_written_to(name: str) -> None:
    augment, sample, untouched = augmentation(name), crowd(), crowd()
    sample.picture.setflags(write=False)
    sample.boxes_xyxy_px.setflags(write=False)
    for seed in SEEDS:
        result = augment(sample, np.random.default_rng(seed))
        assert_sound(result)
        assert len(result.labels) > 0  # every crop keeps a face
        assert set(result.labels) <= set(sample.labels)
    assert_same(sample, untouched)


@every_detector
def test_a_seed_determines_the_result(name: str) -> None:
    augment = augmentation(name)
    np.random.seed(1)  # of no influence
    results = [augment(crowd(), np.random.default_rng(seed)) for seed in SEEDS[:20]]
    for seed, result in enumerate(results):
        assert_same(result, augment(crowd(), np.random.default_rng(seed)))
    different = {result.picture.tobytes() for result in results}
    assert len(different) > len(results) * 0.8


@every_detector
@pytest.mark.parametrize("resized", [False, True])
def test_boxes_stay_on_their_faces(name: str, resized: bool) -> None:
    """Each face has a colour of its own: it must fill its box, and must not be seen outside."""
    move, seen = without_colours(name), 0
    for seed in SEEDS:
        result = move(crowd(), np.random.default_rng(seed))
        if resized:
            result = resize_sample(result, SIZE_PX, "linear")
        seen += assert_on_faces(result)
    assert seen > 100
