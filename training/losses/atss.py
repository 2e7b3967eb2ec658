"""ATSS: anchors for faces by distance and an IoU threshold from each face's own statistics; for the first epochs.

Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive Training Sample Selection",
2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle

from training.box_ops import pairwise_iou, points_in_boxes
from training.losses.assignment import Assignment, assignment_of, mark, one_face_per_anchor
from training.networks.ppyoloe import Outputs

if TYPE_CHECKING:
    from training.losses.targets import Targets

ANCHOR_CELLS = 5.0  # side of the square anchors
CLOSEST = 9  # candidates per face and level


@paddle.no_grad()
def assign_atss(outputs: Outputs, targets: Targets) -> Assignment:
    """Assign by where the anchors lie; the IoU of the predicted box is the score to learn.

    Args:
        outputs: of the detector, A anchors.
        targets: of the same images, G faces.
    """
    half_px = outputs.strides_px * (ANCHOR_CELLS / 2)
    anchors_xyxy_px = paddle.concat([outputs.points_xy_px - half_px, outputs.points_xy_px + half_px], axis=-1)
    is_true = (targets.labels >= 0).unsqueeze(-1)  # [N, G, 1]

    ious = pairwise_iou(targets.boxes_xyxy_px, anchors_xyxy_px)  # [N, G, A]
    indices = _closest_per_level(outputs, targets)  # [N, G, K]
    candidate_ious = paddle.take_along_axis(ious, indices, axis=-1)
    threshold = candidate_ious.mean(axis=-1, keepdim=True) + candidate_ious.std(axis=-1, keepdim=True)  # [N, G, 1]

    claimed = mark(indices, ious.shape[-1]) & (ious > threshold) & is_true  # [N, G, A]
    claimed = claimed & points_in_boxes(outputs.points_xy_px, targets.boxes_xyxy_px)
    assigned = one_face_per_anchor(claimed, ious)
    predicted_ious = pairwise_iou(targets.boxes_xyxy_px, outputs.boxes_xyxy_cells * outputs.strides_px)
    scores = (predicted_ious * assigned.astype("float32")).amax(axis=1)  # [N, A]
    return assignment_of(assigned, targets, scores)


def _closest_per_level(outputs: Outputs, targets: Targets) -> paddle.Tensor:
    """Indices [N, G, K] of the anchors closest to the centre of each face, `CLOSEST` or all on every level."""
    boxes_xyxy_px = targets.boxes_xyxy_px
    centres_xy_px = (boxes_xyxy_px[..., :2] + boxes_xyxy_px[..., 2:]) / 2
    offsets = centres_xy_px.unsqueeze(-2) - outputs.points_xy_px  # [N, G, A, 2]
    distances_px = offsets.norm(p=2, axis=-1)
    indices, start = [], 0
    for anchors in paddle.unique_consecutive(outputs.strides_px.flatten(), return_counts=True)[1].tolist():
        level = distances_px[..., start : start + anchors]
        indices.append(level.topk(min(CLOSEST, anchors), axis=-1, largest=False)[1] + start)
        start += anchors
    return paddle.concat(indices, axis=-1)
