"""A training that has lost its way ends with a word about it, before anything of it is saved or exported."""

from __future__ import annotations

import math
from collections.abc import Mapping

import paddle

from training.progress import Progress

LIMIT = 1000
"""A loss of so many times the first one is past all return; the first is that of weights that know nothing."""


class DivergedError(RuntimeError):
    """Losses or weights that are of no use any more."""


def check_loss(loss: float, progress: Progress, where: str, learning_rate: float) -> None:
    """Raise DivergedError if a step's loss is no finite number, or `LIMIT` times that of the first step."""
    first = progress.first_loss
    if not math.isfinite(loss):
        problem = f"the loss is {loss} at {where}"
    elif first is not None and loss > LIMIT * max(first, 1):
        problem = f"the training diverged: the loss is {loss:.3g} at {where}, it began at {first:.3g}"
    else:
        return
    raise DivergedError(f"{problem}, with a learning rate of {learning_rate:.3g}; {_remedy(progress.epochs)}")


def check_weights(weights: Mapping[str, paddle.Tensor], progress: Progress) -> None:
    """Raise DivergedError if a weight is no finite number."""
    damaged = [name for name, value in weights.items() if not bool(paddle.isfinite(value).all())]
    if damaged:
        raise DivergedError(
            f"the training diverged: after epoch {progress.epochs} {len(damaged)} of {len(weights)} weights are no "
            f"finite numbers ({', '.join(damaged[:3])}), so it is not saved; {_remedy(progress.epochs - 1)}"
        )


def _remedy(saved_epochs: int) -> str:
    saved = "; the checkpoints of before stay" if saved_epochs else ""
    return f"lower Train.learning_rate, which suits Train.batch_size, or lengthen Train.warmup_steps{saved}"
