"""SSD's loss on priors: matched boxes, and classes against background with hard negatives (Liu et al., 2016)."""

from __future__ import annotations

import paddle
from paddle.nn import functional as F

from training.box_ops import cxcywh_to_xyxy, pairwise_iou, xyxy_to_cxcywh
from training.losses.targets import Targets
from training.networks.blazeface import VARIANCES, BlazeFaceOutputs

MATCH_IOU = 0.35
NEGATIVES_PER_POSITIVE = 3
NEGATIVES_WITHOUT_POSITIVES = 0.01  # of the priors of an image without faces


class SSDLoss:
    """Smooth L1 of the matched offsets plus cross entropy, per matched prior."""

    def __call__(self, outputs: BlazeFaceOutputs, targets: Targets) -> dict[str, paddle.Tensor]:
        """Losses of a batch: {"loss": total}."""
        matched = match_priors(cxcywh_to_xyxy(outputs.priors_cxcywh_px), targets)  # [N, A]
        positive = matched >= 0
        # Paddle cannot index with nothing; offsets x 0 gives every parameter its gradient
        box_loss = box_losses(outputs, targets, matched) if positive.any() else outputs.offsets.sum() * 0
        background = paddle.full_like(matched, outputs.logits.shape[-1] - 1)
        classes = paddle.where(positive, of_matched(targets.labels, matched), background)
        class_losses = F.cross_entropy(outputs.logits, classes.unsqueeze(-1), reduction="none").squeeze(-1)  # [N, A]
        ignored = targets.ignored_at(outputs.priors_cxcywh_px[:, :2])
        used = positive | hard_negatives(class_losses.detach(), positive, ignored)
        class_loss = (class_losses * used.astype(class_losses.dtype)).sum()
        count = positive.sum().clip(min=1).astype(class_losses.dtype)
        return {"loss": (box_loss + class_loss) / count}


def box_losses(outputs: BlazeFaceOutputs, targets: Targets, matched: paddle.Tensor) -> paddle.Tensor:
    """Smooth L1 of the offsets of the priors that have a box, added up."""
    positive = matched >= 0
    images, priors = positive.nonzero(as_tuple=True)
    boxes = targets.boxes_xyxy_px[images, matched[positive]]  # [P, 4]
    wanted = encode_boxes(boxes, outputs.priors_cxcywh_px[priors])
    return F.smooth_l1_loss(outputs.offsets[images, priors], wanted, reduction="sum")


def match_priors(priors_xyxy_px: paddle.Tensor, targets: Targets) -> paddle.Tensor:
    """Which true box each prior answers for, int64 [N, A]; -1 is background.

    A prior takes the box it overlaps most, from an IoU of `MATCH_IOU` on. Every true box in turn claims the prior
    that overlaps it most, whatever that prior had. The very first prior stays background: padded boxes claim it.
    """
    ious = pairwise_iou(targets.boxes_xyxy_px, priors_xyxy_px)  # [N, G, A]
    matched = paddle.where(ious.amax(axis=1) >= MATCH_IOU, ious.argmax(axis=1), paddle.full([1], -1, "int64"))
    claims = F.one_hot(ious.argmax(axis=2), len(priors_xyxy_px))  # [N, G, A]
    ranks = paddle.arange(1, claims.shape[1] + 1, dtype=claims.dtype).unsqueeze(-1)
    last_claim = (claims * ranks).amax(axis=1).astype("int64") - 1  # [N, A], -1: unclaimed
    matched = paddle.where(last_claim >= 0, last_claim, matched)
    return paddle.concat([paddle.full_like(matched[:, :1], -1), matched[:, 1:]], axis=1)


def of_matched(values: paddle.Tensor, matched: paddle.Tensor) -> paddle.Tensor:
    """What the box of each prior has, [N, A], of the values [N, G] of all boxes; anything where a prior has none."""
    return paddle.take_along_axis(values, matched.clip(min=0), axis=1)


def hard_negatives(
    class_losses: paddle.Tensor, positive: paddle.Tensor, ignored: paddle.Tensor | None = None
) -> paddle.Tensor:
    """The background priors of the greatest loss, `NEGATIVES_PER_POSITIVE` for each positive, bool [N, A].

    Args:
        ignored: bool [N, A], priors that are no background whatever their loss is.
    """
    background = ~positive if ignored is None else ~(positive | ignored)
    losses = class_losses * background.astype(class_losses.dtype)
    rank = losses.argsort(axis=1, descending=True).argsort(axis=1)
    counts = positive.sum(axis=1, keepdim=True).astype("float32")
    without = paddle.full_like(counts, NEGATIVES_WITHOUT_POSITIVES * positive.shape[1])
    limit = paddle.where(counts > 0, counts * NEGATIVES_PER_POSITIVE, without)
    chosen = rank.astype("float32") < limit
    return chosen if ignored is None else chosen & background


def encode_boxes(boxes_xyxy_px: paddle.Tensor, priors_cxcywh_px: paddle.Tensor) -> paddle.Tensor:
    """The inverse of `training.networks.blazeface.decode_boxes`, [P, 4]."""
    boxes = xyxy_to_cxcywh(boxes_xyxy_px)
    centre = (boxes[:, :2] - priors_cxcywh_px[:, :2]) / priors_cxcywh_px[:, 2:] / VARIANCES[0]
    size = (boxes[:, 2:] / priors_cxcywh_px[:, 2:]).log() / VARIANCES[1]
    return paddle.concat([centre, size], axis=-1)
