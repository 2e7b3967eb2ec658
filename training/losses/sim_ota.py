"""SimOTA: which anchor points of an image learn which true box, by what the network predicts there.

Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", with the costs of Yu et al., "PP-PicoDet", 2021.
"""

from __future__ import annotations

import paddle
from paddle.nn import functional as F

from training.box_ops import pairwise_giou_loss, pairwise_iou, xyxy_to_ltrb
from training.losses.varifocal import varifocal_weight

CENTRE_RADIUS_CELLS = 2.5
MOST_POINTS_PER_BOX = 10
GIOU_COST = 6.0
OUTSIDE_COST = 1e8  # of a point that is not both inside the box and near its centre
UNASSIGNED = -1


@paddle.no_grad()
def assign(
    scores: paddle.Tensor,
    boxes_xyxy_px: paddle.Tensor,
    centres_xy_px: paddle.Tensor,
    strides_px: paddle.Tensor,
    true_xyxy_px: paddle.Tensor,
    labels: paddle.Tensor,
    cost_dtype: str = "float32",
) -> paddle.Tensor:
    """For each anchor point of one image the index of its true box, -1 for background: int64 [A].

    Each true box takes as many points as the sum of its ten best IoUs says, at least one, those of least cost.

    Args:
        scores: predicted probabilities of the classes, float32 [A, C].
        boxes_xyxy_px: predicted boxes, float32 [A, 4].
        centres_xy_px: the points, float32 [A, 2].
        strides_px: pixels per cell at each point, float32 [A, 1].
        true_xyxy_px: the true boxes without padding, float32 [G, 4]; G may be 0.
        labels: their classes, int64 [G].
        cost_dtype: "float32" as in the reference, where the cost of being outside swallows all others, so that a face
            too small to contain any point takes the first candidates of the image, however far away; "float64" keeps
            the order and gives it points nearby.
    """
    background = paddle.full([scores.shape[0]], UNASSIGNED, dtype="int64")
    if true_xyxy_px.shape[0] == 0:
        return background
    inside, central = _inside_and_central(centres_xy_px, strides_px, true_xyxy_px)  # [A, G] each
    candidates = paddle.nonzero((inside | central).any(axis=1)).flatten()  # [C]
    if candidates.shape[0] == 0:
        return background
    boxes = paddle.gather(boxes_xyxy_px, candidates)  # [C, 4]
    ious = pairwise_iou(boxes, true_xyxy_px)  # [C, G]
    cost = classification_cost(paddle.gather(scores, candidates), ious, labels)
    cost += GIOU_COST * pairwise_giou_loss(boxes, true_xyxy_px)
    outside = ~paddle.gather(inside & central, candidates)  # [C, G]
    cost = cost.astype(cost_dtype) + OUTSIDE_COST * outside.astype(cost_dtype)
    return paddle.scatter(background, candidates, _match(cost, ious))


def classification_cost(scores: paddle.Tensor, ious: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """Varifocal loss that scores [C, classes] would have, with the IoUs [C, G] as targets of the boxes' classes [G].

    The targets of all other classes are 0. [C, G].
    """
    background = _varifocal_of(scores, paddle.zeros_like(scores))  # [C, classes]
    others = background.sum(axis=1, keepdim=True) - paddle.index_select(background, labels, axis=1)
    return _varifocal_of(paddle.index_select(scores, labels, axis=1), ious) + others


def _varifocal_of(scores: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
    return F.binary_cross_entropy(scores, targets, reduction="none") * varifocal_weight(scores, targets)


def _inside_and_central(
    centres_xy: paddle.Tensor, strides: paddle.Tensor, true_xyxy: paddle.Tensor
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Whether each point is inside each box, and within 2.5 cells of its centre along both axes: bool [A, G] each."""
    points, boxes = centres_xy.unsqueeze(1), true_xyxy.unsqueeze(0)  # [A, 1, 2], [1, G, 4]
    inside = xyxy_to_ltrb(points, boxes).amin(axis=-1) > 0
    box_centres = (boxes[..., :2] + boxes[..., 2:]) / 2  # [1, G, 2]
    central = (points - box_centres).abs().amax(axis=-1) < CENTRE_RADIUS_CELLS * strides
    return inside, central


def _match(cost: paddle.Tensor, ious: paddle.Tensor) -> paddle.Tensor:
    """The true box of each candidate or -1, from cost and IoU [C, G]: int64 [C]."""
    most = min(MOST_POINTS_PER_BOX, ious.shape[0])
    wanted = paddle.topk(ious, most, axis=0)[0].sum(axis=0).astype("int64").clip(min=1)  # [G]
    # Sorted rather than topk, which may take any of several equal costs: here the first wins, on every device.
    cheapest = paddle.argsort(cost, axis=0, stable=True)[:most]  # [most, G]
    taken = (paddle.arange(most).unsqueeze(1) < wanted).astype("int64")  # [most, G]
    matches = paddle.put_along_axis(paddle.zeros(cost.shape, "int64"), cheapest, taken, axis=0)  # [C, G]
    boxes_of_point = matches.sum(axis=1)
    # A point that several boxes want goes to the one to which it costs least, wanted by that box or not.
    box = paddle.where(boxes_of_point > 1, cost.argmin(axis=1), matches.argmax(axis=1))
    return paddle.where(boxes_of_point > 0, box, paddle.full([1], UNASSIGNED, dtype="int64"))
