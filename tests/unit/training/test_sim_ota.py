from __future__ import annotations

import numpy as np
import paddle
import pytest

from training.losses.sim_ota import assign

STRIDE_PX, COLUMNS = 8, 4  # 4 x 4 points at 4, 12, 20 and 28 px
FACE = (8.0, 8.0, 24.0, 24.0)
INNER = [5, 6, 9, 10]  # the points inside FACE
NOWHERE = (200.0, 200.0, 201.0, 201.0)


def assigned(
    true_xyxy_px: list[tuple[float, ...]],
    predicted: dict[int, tuple[float, ...]],
    scores: dict[int, float] | None = None,
    of_other_class: dict[int, float] | None = None,
    **options: str,
) -> list[int]:
    """The assignment of the 4 x 4 points when all predict NOWHERE at score 0.01 except the given ones.

    All boxes are of class 0; with `of_other_class` the points have scores for a class 1 too.
    """
    centres = (np.stack(np.meshgrid(range(COLUMNS), range(COLUMNS)), -1).reshape(-1, 2) + 0.5) * STRIDE_PX
    boxes = [predicted.get(point, NOWHERE) for point in range(len(centres))]
    given = [scores or {}, *([of_other_class] if of_other_class is not None else [])]
    probabilities = [[of_class.get(point, 0.01) for of_class in given] for point in range(len(centres))]
    arguments = (
        np.array(probabilities),
        np.array(boxes),
        centres,
        np.full((len(centres), 1), STRIDE_PX),
        np.array(true_xyxy_px).reshape(-1, 4),
    )
    labels = paddle.zeros([len(true_xyxy_px)], "int64")
    return assign(*(paddle.to_tensor(a.astype(np.float32)) for a in arguments), labels, **options).tolist()


def points(assignment: list[int]) -> dict[int, int]:
    return {point: box for point, box in enumerate(assignment) if box >= 0}


@pytest.mark.parametrize("true_boxes", [[], [(500.0, 500.0, 510.0, 510.0)]], ids=["no face", "no face near a point"])
def test_all_background(true_boxes: list[tuple[float, ...]]) -> None:
    assert assigned(true_boxes, {}) == [-1] * COLUMNS**2


def test_a_face_takes_as_many_points_as_its_ious_add_up_to() -> None:
    assert points(assigned([FACE], dict.fromkeys(INNER, FACE))) == dict.fromkeys(INNER, 0)


def test_the_points_of_least_cost_are_taken() -> None:
    half = (8.0, 8.0, 16.0, 24.0)  # IoU 0.5 at four points: two of them, those whose scores are nearest to 0.5
    scores = {5: 0.1, 6: 0.5, 9: 0.45, 10: 0.99}
    assert points(assigned([FACE], dict.fromkeys(INNER, half), scores)) == {6: 0, 9: 0}


def test_a_point_that_is_sure_of_another_class_costs_more() -> None:
    half = (8.0, 8.0, 16.0, 24.0)  # two of the four points are taken
    predicted, scores = dict.fromkeys(INNER, half), dict.fromkeys(INNER, 0.5)
    assert points(assigned([FACE], predicted, scores, of_other_class={})) == {5: 0, 6: 0}
    assert points(assigned([FACE], predicted, scores, of_other_class={5: 0.9, 9: 0.8})) == {6: 0, 10: 0}


def test_every_face_takes_at_least_one_point() -> None:
    assert points(assigned([FACE], {}, {9: 0.02})) == {5: 0}  # with IoU 0 a higher score only costs


def test_points_outside_come_last_however_good_their_boxes() -> None:
    assert points(assigned([FACE], {0: FACE, 6: (8.0, 8.0, 24.0, 23.0)})) == {6: 0}


def test_a_point_that_two_faces_want_goes_to_the_better_fit() -> None:
    other = (8.0, 8.0, 24.0, 20.0)
    assert points(assigned([other, FACE], {5: FACE}, {5: 0.9})) == {5: 1}


@pytest.mark.parametrize(("cost_dtype", "point"), [("float32", 5), ("float64", 10)])
def test_a_face_between_the_points(cost_dtype: str, point: int) -> None:
    between = (21.0, 21.0, 27.0, 27.0)  # point 5 is the first one near it
    assert points(assigned([between], {10: (20.0, 20.0, 26.0, 26.0)}, cost_dtype=cost_dtype)) == {point: 0}
