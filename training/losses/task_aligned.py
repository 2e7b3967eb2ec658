"""Task-aligned assignment: anchors for faces by what the detector already says, score and overlap together.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle

from training.box_ops import pairwise_iou, points_in_boxes
from training.losses.assignment import Assignment, assignment_of, mark, one_face_per_anchor
from training.losses.varifocal import with_classes
from training.networks.ppyoloe import Outputs

if TYPE_CHECKING:
    from training.losses.targets import Targets

BEST = 13  # candidates per face
IOU_POWER = 6.0  # alignment = score * IoU ** IOU_POWER
EPSILON = 1e-9


@paddle.no_grad()
def assign_task_aligned(outputs: Outputs, targets: Targets) -> Assignment:
    """Assign to each face the best aligned anchors inside it; the score to learn is the alignment.

    The alignment is scaled so that the best anchor of a face shall score as high as the best IoU of that face.

    Args:
        outputs: of the detector, A anchors.
        targets: of the same images, G faces.
    """
    is_true = (targets.labels >= 0).unsqueeze(-1)  # [N, G, 1]
    ious = pairwise_iou(targets.boxes_xyxy_px, outputs.boxes_xyxy_cells * outputs.strides_px)  # [N, G, A]
    alignment = _scores_of_classes(outputs.scores, targets.labels) * ious.pow(IOU_POWER)
    inside = points_in_boxes(outputs.points_xy_px, targets.boxes_xyxy_px)

    anchors = ious.shape[-1]
    indices = (alignment * inside.astype("float32")).topk(min(BEST, anchors), axis=-1)[1]  # [N, G, K]
    assigned = one_face_per_anchor(mark(indices, anchors) & inside & is_true, ious)

    chosen = assigned.astype("float32")
    alignment = alignment * chosen
    best_iou = (ious * chosen).amax(axis=-1, keepdim=True)  # [N, G, 1]
    scaled = alignment / (alignment.amax(axis=-1, keepdim=True) + EPSILON) * best_iou
    return assignment_of(assigned, targets, scaled.amax(axis=1))


def _scores_of_classes(scores: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """What every anchor gives to the class of each face: [N, A] or [N, A, C], and [N, G], to [N, G, A]."""
    per_class = with_classes(scores).transpose([0, 2, 1])  # [N, C, A]
    index = labels.clip(min=0).unsqueeze(-1).expand([*labels.shape, per_class.shape[-1]])
    return paddle.take_along_axis(per_class, index, axis=1)
