"""PP-YOLOE+'s loss: varifocal scores, GIoU boxes and the distributions of the sides.

Xu et al., "PP-YOLOE: An evolved version of YOLO", 2022; Zhang et al., "VarifocalNet", 2021; Li et al., "Generalized
Focal Loss", 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
from paddle.nn import functional as F

from training.box_ops import giou_loss, xyxy_to_ltrb
from training.losses.assignment import Assignment
from training.losses.atss import assign_atss
from training.losses.task_aligned import assign_task_aligned
from training.losses.varifocal import targets_of_classes, with_classes
from training.networks.ppyoloe import Outputs

if TYPE_CHECKING:
    from training.losses.targets import Targets

ASSIGNERS = {"atss": assign_atss, "tal": assign_task_aligned}
CLS_WEIGHT, IOU_WEIGHT, DFL_WEIGHT = 1.0, 2.5, 0.5
NEGATIVE_WEIGHT, FOCUS = 0.75, 2.0  # of anchors without a face: NEGATIVE_WEIGHT * score ** FOCUS
BELOW_LAST_BIN = 0.01  # that a distance stays, so that there is always a bin to the right


class PPYOLOELoss:
    """Outputs of PP-YOLOE+ and the true boxes to the scalars loss, loss_cls, loss_iou, loss_dfl and loss_l1.

    loss_l1, the mean error of the box sides in cells, is for the log and no part of the total.

    Args:
        assigner: "atss" for the first epochs, when the predictions say nothing yet, then "tal", the task-aligned one.

    Raises:
        ValueError: there is no such assigner.
    """

    def __init__(self, assigner: str = "tal") -> None:
        if assigner not in ASSIGNERS:
            raise ValueError(f"unknown assigner {assigner!r}; known are: {', '.join(ASSIGNERS)}")
        self.assign = ASSIGNERS[assigner]

    def __call__(self, outputs: Outputs, targets: Targets) -> dict[str, paddle.Tensor]:
        assignment = self.assign(outputs, targets)
        total_score = assignment.scores.sum().clip(min=1.0)
        ignored = targets.ignored_at(outputs.points_xy_px)
        loss_cls = varifocal_loss(outputs.scores, assignment, ignored) / total_score
        loss_iou, loss_dfl, loss_l1 = box_losses(outputs, assignment)
        loss_iou, loss_dfl = loss_iou / total_score, loss_dfl / total_score
        loss = CLS_WEIGHT * loss_cls + IOU_WEIGHT * loss_iou + DFL_WEIGHT * loss_dfl
        return {"loss": loss, "loss_cls": loss_cls, "loss_iou": loss_iou, "loss_dfl": loss_dfl, "loss_l1": loss_l1}


def varifocal_loss(
    scores: paddle.Tensor, assignment: Assignment, ignored: paddle.Tensor | None = None
) -> paddle.Tensor:
    """Cross entropy of the scores [N, A] or [N, A, C], summed.

    The class of an anchor's face weighs as much as the score to learn, all else by the score it has.

    Args:
        ignored: bool [N, A], anchors that weigh nothing unless they have a face.
    """
    scores = with_classes(scores)
    is_face, wanted = (
        targets_of_classes(values, assignment.class_ids, scores.shape[-1])
        for values in (assignment.is_face.astype("float32"), assignment.scores)
    )  # [N, A, C] each
    is_background = 1 - is_face
    if ignored is not None:
        is_background = is_background * (assignment.is_face | ~ignored).astype("float32").unsqueeze(-1)
    weight = NEGATIVE_WEIGHT * scores.pow(FOCUS) * is_background + wanted * is_face
    return F.binary_cross_entropy(scores, wanted, weight=weight, reduction="sum")


def box_losses(outputs: Outputs, assignment: Assignment) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """GIoU loss and distribution loss, summed over the P anchors with a face by their score to learn; and mean L1."""
    if not assignment.is_face.any():
        nothing = outputs.side_logits.sum() * 0  # so that every parameter gets its gradient of zero
        return nothing, nothing, nothing
    true_xyxy_cells = assignment.boxes_xyxy_px / outputs.strides_px  # [N, A, 4]
    points_xy_cells = outputs.points_xy_px / outputs.strides_px
    longest_cells = outputs.side_logits.shape[-1] - 1 - BELOW_LAST_BIN
    distances_cells = xyxy_to_ltrb(points_xy_cells, true_xyxy_cells).clip(0, longest_cells)

    index = paddle.nonzero(assignment.is_face)  # [P, 2]
    scores = paddle.gather_nd(assignment.scores, index)  # [P]
    predicted, true = (paddle.gather_nd(boxes, index) for boxes in (outputs.boxes_xyxy_cells, true_xyxy_cells))
    logits = paddle.gather_nd(outputs.side_logits, index)  # [P, 4, BINS]
    distances = paddle.gather_nd(distances_cells, index)  # [P, 4]
    loss_iou = (giou_loss(predicted, true) * scores).sum()
    loss_dfl = (distribution_loss(logits, distances).mean(axis=-1) * scores).sum()
    return loss_iou, loss_dfl, F.l1_loss(predicted, true)


def distribution_loss(logits: paddle.Tensor, distances: paddle.Tensor) -> paddle.Tensor:
    """Cross entropy [P, 4] of logits [P, 4, BINS] with the two bins around each distance [P, 4], nearer weighs more."""
    left = distances.floor().astype("int64")
    right_weight = distances - left.astype("float32")
    at_left = F.cross_entropy(logits, left, reduction="none")
    at_right = F.cross_entropy(logits, left + 1, reduction="none")
    return at_left * (1 - right_weight) + at_right * right_weight
