from __future__ import annotations

import numpy as np
import paddle
import pytest

from training.box_ops import (
    expected_distance,
    giou_loss,
    iou,
    ltrb_to_xyxy,
    pairwise_giou_loss,
    pairwise_iou,
    xyxy_to_ltrb,
)

SQUARE = [0.0, 0.0, 2.0, 2.0]


def boxes(*rows: list[float]) -> paddle.Tensor:
    return paddle.to_tensor(np.array(rows, np.float32).reshape(-1, 4))


@pytest.mark.parametrize("pairwise", [pairwise_iou, pairwise_giou_loss])
@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 3), (2, 0)])
def test_no_boxes(pairwise, first: int, second: int) -> None:
    assert pairwise(boxes(*[SQUARE] * first), boxes(*[SQUARE] * second)).shape == [first, second]


@pytest.mark.parametrize(
    ("other", "wanted_iou", "wanted_giou"),
    [
        (SQUARE, 1, 1),
        ([0.0, 0.0, 2.0, 1.0], 1 / 2, 1 / 2),
        ([1.0, 1.0, 3.0, 3.0], 1 / 7, 1 / 7 - 2 / 9),
        ([3.0, 0.0, 4.0, 2.0], 0, -2 / 8),
        ([0.0, 0.0, 0.0, 0.0], 0, 0),
    ],
    ids=["same", "half", "corner", "apart", "no area"],
)
def test_overlap(other: list[float], wanted_iou: float, wanted_giou: float) -> None:
    first, second = boxes(SQUARE), boxes(other)
    assert iou(first, second).item() == pytest.approx(wanted_iou)
    assert giou_loss(first, second).item() == pytest.approx(1 - wanted_giou)
    assert pairwise_iou(second, boxes(other, SQUARE))[0, 1].item() == pytest.approx(wanted_iou)


def test_two_empty_boxes_do_not_divide_by_zero() -> None:
    point = boxes([1.0, 1.0, 1.0, 1.0])
    assert iou(point, point).item() == 0
    assert giou_loss(point, point).item() == 1


def test_distances_and_boxes_are_inverse() -> None:
    point, box = paddle.to_tensor([[3.0, 4.0]]), boxes([1.0, 1.0, 7.0, 9.0])
    assert xyxy_to_ltrb(point, box).tolist() == [[2, 3, 4, 5]]
    assert ltrb_to_xyxy(point, xyxy_to_ltrb(point, box)).tolist() == box.tolist()


def test_expected_distance() -> None:
    logits = paddle.to_tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -100.0, -100.0, 0.0], [-100.0, -100.0, 0.0, -100.0]])
    assert expected_distance(logits, paddle.arange(4, dtype="float32")).tolist() == pytest.approx([1.5, 1.5, 2])
