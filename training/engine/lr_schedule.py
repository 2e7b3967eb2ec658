"""Learning rate schedules: the rate of every step, a pure function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

from training.config import Train

Schedule = Callable[[int], float]


def build_schedule(train: Train, steps_per_epoch: int) -> Schedule:
    """Learning rate by step, counted from 0.

    Linear from `warmup_start_factor` x `learning_rate` over the first `warmup_steps`; afterwards `piecewise` takes
    one factor `gamma` more at each milestone, and `cosine` half a wave down to 0 at the last step (Loshchilov and
    Hutter, "SGDR", 2017, without restarts).
    """

    def rate(step: int) -> float:
        if step < train.warmup_steps:
            done = step / train.warmup_steps
            return train.learning_rate * (train.warmup_start_factor * (1 - done) + done)
        if train.schedule == "piecewise":
            return train.learning_rate * train.gamma ** bisect_right(milestones, step)
        wave = (step - train.warmup_steps) / max(total_steps - train.warmup_steps, 1)
        return train.learning_rate * 0.5 * (1 + math.cos(math.pi * min(wave, 1.0)))

    milestones = [epoch * steps_per_epoch for epoch in sorted(train.milestones)]
    total_steps = train.epochs_iters * steps_per_epoch
    return rate
