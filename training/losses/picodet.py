"""PicoDet's loss: varifocal on all cells, GIoU and distribution focal loss on the cells that SimOTA assigns to a face.

Source: Yu et al., "PP-PicoDet", 2021; distribution focal loss: Li et al., "Generalized Focal Loss", 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
from paddle.nn import functional as F

from training.box_ops import giou_loss, iou, ltrb_to_xyxy, xyxy_to_ltrb
from training.losses.ppyoloe import PPYOLOELoss
from training.losses.sim_ota import assign
from training.losses.varifocal import targets_of_classes, varifocal_loss, with_classes
from training.networks.picodet import LONGEST_SIDE_CELLS, PicoDetOutputs
from training.networks.ppyoloe import Outputs

if TYPE_CHECKING:
    from training.losses.targets import Targets

GIOU_WEIGHT, DISTRIBUTION_WEIGHT = 2.0, 0.25
LONGEST_LEARNT_CELLS = LONGEST_SIDE_CELLS - 0.1  # keeps the bin above within the distribution


class PicoDetLoss:
    """Call with `PicoDet.outputs(images)` and the targets; returns loss_vfl, loss_bbox, loss_dfl and their sum, loss.

    Args:
        cost_dtype: of the assigner, see `training.losses.sim_ota.assign`; the reference has "float32".
    """

    def __init__(self, cost_dtype: str = "float64") -> None:
        self.cost_dtype = cost_dtype

    def __call__(self, outputs: PicoDetOutputs, targets: Targets) -> dict[str, paddle.Tensor]:
        centres_cells = outputs.centres_xy_px / outputs.strides_px  # [A, 2]
        boxes_cells = ltrb_to_xyxy(centres_cells, outputs.sides_ltrb_cells)  # [N, A, 4]
        boxes_px = boxes_cells.detach() * outputs.strides_px
        logits = with_classes(outputs.class_logits)  # [N, A, C]
        scores = F.sigmoid(logits.detach())
        true_px, class_ids, positive = _assigned(outputs, scores, boxes_px, targets, self.cost_dtype)
        true_cells = true_px / outputs.strides_px  # [N, A, 4]

        quality = iou(boxes_cells.detach(), true_cells) * positive.astype("float32")  # [N, A]
        positives = positive.sum().clip(min=1).astype("float32")
        wanted = targets_of_classes(quality, class_ids, logits.shape[-1])
        cell_losses = varifocal_loss(logits, wanted)  # [N, A, C]
        ignored = targets.ignored_at(outputs.centres_xy_px)
        if ignored is not None:
            cell_losses = cell_losses * (positive | ~ignored).astype("float32").unsqueeze(-1)
        losses = {"loss_vfl": cell_losses.sum() / positives}
        weights = scores.amax(axis=-1)  # [N, A]
        losses |= _side_losses(outputs, weights, centres_cells, boxes_cells, true_cells, positive)
        return losses | {"loss": sum(losses.values())}


def task_aligned_loss(outputs: PicoDetOutputs, targets: Targets) -> dict[str, paddle.Tensor]:
    """PP-YOLOE+'s loss, task-aligned assignment included, on PicoDet's outputs: that of the recipe `crowds`."""
    scores, centres_cells = F.sigmoid(outputs.class_logits), outputs.centres_xy_px / outputs.strides_px
    boxes_cells = ltrb_to_xyxy(centres_cells, outputs.sides_ltrb_cells)  # [N, A, 4]
    rest = outputs.centres_xy_px, outputs.strides_px
    return PPYOLOELoss()(Outputs(scores, outputs.side_logits, boxes_cells, *rest), targets)


def distribution_focal_loss(bin_logits: paddle.Tensor, distances: paddle.Tensor) -> paddle.Tensor:
    """Cross entropy with the two bins next to each distance, the nearer one weighing more: [..., B] and [...] to [...].

    Distances are in bins and less than B - 1.
    """
    lower = distances.floor()
    upper_weight = distances - lower
    bins = lower.astype("int64").unsqueeze(-1)  # [..., 1]
    lower_loss = F.cross_entropy(bin_logits, bins, reduction="none").squeeze(-1)
    upper_loss = F.cross_entropy(bin_logits, bins + 1, reduction="none").squeeze(-1)
    return lower_loss * (1 - upper_weight) + upper_loss * upper_weight


def _assigned(
    outputs: PicoDetOutputs, scores: paddle.Tensor, boxes_xyxy_px: paddle.Tensor, targets: Targets, cost_dtype: str
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """The true box of every cell [N, A, 4] and its class [N, A], zeros for background; which have one, bool [N, A]."""
    true_boxes, class_ids, positive = [], [], []
    for image in range(scores.shape[0]):
        real = paddle.nonzero(targets.labels[image] >= 0).flatten()  # [G]
        faces = paddle.gather(targets.boxes_xyxy_px[image], real)  # [G, 4]
        labels = paddle.gather(targets.labels[image], real)  # [G]
        predicted = (scores[image], boxes_xyxy_px[image], outputs.centres_xy_px, outputs.strides_px)
        matched = assign(*predicted, faces, labels, cost_dtype)  # [A]
        row = matched % (len(faces) + 1)  # of background the row of zeros behind the others
        true_boxes.append(paddle.gather(paddle.concat([faces, paddle.zeros([1, 4])]), row))
        class_ids.append(paddle.gather(paddle.concat([labels, paddle.zeros([1], labels.dtype)]), row))
        positive.append(matched >= 0)
    return paddle.stack(true_boxes), paddle.stack(class_ids), paddle.stack(positive)


def _side_losses(
    outputs: PicoDetOutputs,
    best_scores: paddle.Tensor,
    centres_cells: paddle.Tensor,
    boxes_cells: paddle.Tensor,
    true_cells: paddle.Tensor,
    positive: paddle.Tensor,
) -> dict[str, paddle.Tensor]:
    """Losses of the boxes of the positive cells, each weighted by the best score that the cell has now, [N, A]."""
    if not positive.any():
        zero = outputs.side_logits.sum() * 0  # keeps the parameters in the graph
        return {"loss_bbox": zero, "loss_dfl": zero}
    # Not tensor[mask]: on a tensor that is a view, Paddle 3.2 then reads the wrong elements.
    where = paddle.nonzero(positive)  # [P, 2] of (image, cell)
    weights = paddle.gather_nd(best_scores, where)  # [P]
    boxes, true_boxes = paddle.gather_nd(boxes_cells, where), paddle.gather_nd(true_cells, where)  # [P, 4] each
    centres = paddle.gather(centres_cells, where[:, 1])  # [P, 2]
    sides = xyxy_to_ltrb(centres, true_boxes).clip(0, LONGEST_LEARNT_CELLS)  # [P, 4]
    total = weights.sum().clip(min=1)
    overlap = giou_loss(boxes, true_boxes)  # [P]
    distribution = distribution_focal_loss(paddle.gather_nd(outputs.side_logits, where), sides).mean(axis=-1)  # [P]
    return {
        "loss_bbox": GIOU_WEIGHT * (overlap * weights).sum() / total,
        "loss_dfl": DISTRIBUTION_WEIGHT * (distribution * weights).sum() / total,
    }
