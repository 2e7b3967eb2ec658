"""Varifocal loss: scores learn the IoU of their boxes (Zhang et al., "VarifocalNet", 2021)."""

from __future__ import annotations

import paddle
from paddle.nn import functional as F

ALPHA, GAMMA = 0.75, 2.0


def targets_of_classes(targets: paddle.Tensor, class_ids: paddle.Tensor, classes: int) -> paddle.Tensor:
    """Each target at its class and 0 at the others: [...] and int64 [...] to [..., classes]."""
    return targets.unsqueeze(-1) * F.one_hot(class_ids, classes).astype(targets.dtype)


def with_classes(values: paddle.Tensor) -> paddle.Tensor:
    """Values [N, A], which a network of one class gives, as [N, A, 1]; [N, A, C] as they are."""
    return values if values.ndim == 3 else values.unsqueeze(-1)


def varifocal_loss(logits: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
    """Elementwise loss of logits whose probabilities should be the targets, 0 for background: [...]."""
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return entropy * varifocal_weight(F.sigmoid(logits), targets)


def varifocal_weight(probabilities: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
    """Positives weigh as much as their target, negatives less the better they are known: [...]."""
    return paddle.where(targets > 0, targets, ALPHA * probabilities**GAMMA)
