"""Training losses: each maps a detector's raw outputs and the true boxes to named scalars, "loss" being their total."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle

from training.losses.targets import Targets

Loss = Callable[[Any, Targets], dict[str, paddle.Tensor]]

__all__ = ["Loss", "Targets"]
