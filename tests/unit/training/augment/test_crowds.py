from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.augment_samples import assert_on_faces, assert_same, assert_sound, coloured_sample, crowd, empty_sample
from training.augment import Sample
from training.augment import crowds as module
from training.augment.crowds import COLUMNS, compose_crowds, join
from training.augment.ignore import face_sizes_px
from training.augment.sample import IGNORED

SIZE_PX = 322  # no multiple of four
SEEDS = range(40)


def composed(sample: Sample, seed: int, others: list[Sample] | None = None, most_faces: int | None = None) -> Sample:
    pictures = others or [sample]
    return compose_crowds(
        sample,
        lambda rng: pictures[rng.integers(len(pictures))],
        np.random.default_rng(seed),
        size_px=SIZE_PX,
        interpolation=cv2.INTER_CUBIC,
        smallest_px=6.0,
        most_faces=most_faces,
    )


@pytest.mark.parametrize("size_wh", [(1, 1), (2, 300), (120, 90)])
def test_no_faces(size_wh: tuple[int, int]) -> None:
    for seed in SEEDS:
        result = composed(empty_sample(size_wh), seed)
        assert_sound(result)
        assert (result.size_wh, len(result.labels)) == ((SIZE_PX, SIZE_PX), 0)


@pytest.mark.parametrize(
    ("size_wh", "boxes"),
    [((1, 1), [[0, 0, 1, 1]]), ((2, 300), [[0, 0, 1, 300], [1, 4, 2, 5]]), ((300, 2), [[0, 0, 300, 2]])],
)
def test_odd_sizes(size_wh: tuple[int, int], boxes: list[list[int]]) -> None:
    for seed in SEEDS:
        assert_sound(composed(coloured_sample(size_wh, boxes), seed))


def test_boxes_thinner_than_a_float_can_tell() -> None:
    for x in (0.0, 0.3, 300.0):
        next_x = np.nextafter(np.float32(x), np.float32(np.inf))
        sliver = Sample(crowd().picture, np.array([[x, 10, next_x, 60]], np.float32), np.zeros(1, np.int64))
        for seed in SEEDS:
            assert_sound(composed(sliver, seed))


def test_a_seed_determines_the_result_and_nothing_is_written_to() -> None:
    sample, untouched = crowd(), crowd()
    sample.picture.setflags(write=False)
    sample.boxes_xyxy_px.setflags(write=False)
    results = [composed(sample, seed) for seed in SEEDS]
    for seed, result in zip(SEEDS, results):
        assert_sound(result)
        assert result.size_wh == (SIZE_PX, SIZE_PX)
        assert_same(result, composed(crowd(), seed))
    assert_same(sample, untouched)
    assert len({result.picture.tobytes() for result in results}) == len(SEEDS)


def test_every_kind_is_drawn_with_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of tiles tells the kind; the first tile is always of the picture that was asked for."""
    seen = []
    monkeypatch.setattr(module, "join", lambda tiles, columns: seen.append(len(tiles)) or join(tiles, columns))
    for seed in range(200):
        drawn: list[int] = []
        compose_crowds(
            coloured_sample((40, 40), [[5, 5, 30, 30]]),
            lambda rng, drawn=drawn: drawn.append(int(rng.integers(9))) or empty_sample((40, 40)),
            np.random.default_rng(seed),
            size_px=64,
            interpolation=cv2.INTER_CUBIC,
            smallest_px=6.0,
            most_faces=None,
        )
        assert len(drawn) == ((seen[-1] - 1) if seen and drawn else 0)
    assert 0.5 < len(seen) / 200 < 0.7
    assert set(seen) == {columns**2 for columns in COLUMNS if columns}


def test_sizes_and_numbers_are_kept_to() -> None:
    small = coloured_sample((640, 480), [[10, 10, 15, 15], [100, 100, 160, 170], [300, 100, 360, 170]])
    for seed in SEEDS:
        result = composed(small, seed, most_faces=3)
        learnt = face_sizes_px(result)[result.is_face]
        assert (learnt >= 6).all() and len(learnt) <= 3
    all_of_it = coloured_sample((100, 100), [[0, 0, 100, 100]])
    assert {IGNORED} in [set(composed(all_of_it, seed).labels.tolist()) for seed in SEEDS]


def test_joined_tiles() -> None:
    tiles = [
        coloured_sample((30, 20), [[1, 2, 11, 12]]),
        coloured_sample((10, 20), []),
        coloured_sample((30, 25), []),
        coloured_sample((10, 25), [[0, 0, 10, 25], [2, 3, 9, 20]]),
    ]
    result = join(tiles, 2)
    assert_sound(result)
    assert result.size_wh == (40, 45)
    np.testing.assert_array_equal(result.boxes_xyxy_px, [[1, 2, 11, 12], [30, 20, 40, 45], [32, 23, 39, 40]])
    np.testing.assert_array_equal(result.picture[20:, 30:], tiles[3].picture)
    assert assert_on_faces(join(tiles[:1], 1)) == 1
