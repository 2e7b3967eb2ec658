"""Exponential moving average (EMA) of the weights, which is what gets evaluated and exported."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn


class ExponentialMovingAverage:
    """Averages all entries of a state dict, batch statistics included.

    Early on, the decay is (1 + updates) / (10 + updates), so that the random beginning is forgotten soon; later it
    is `decay`. Constants stay exactly what they are.

    Args:
        cycle_epochs: the average starts anew from the weights after so many epochs; None for never.
    """

    def __init__(self, network: nn.Layer, decay: float, cycle_epochs: int | None = None) -> None:
        self.decay, self.cycle_epochs = decay, cycle_epochs
        self.updates = 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @paddle.no_grad()
    def update(self, network: nn.Layer) -> None:
        """Take the weights of one more step in."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in network.state_dict().items():
            self.values[name].lerp_(value, 1 - decay)
        self.updates += 1

    @paddle.no_grad()
    def end_epoch(self, epoch: int, network: nn.Layer) -> None:
        """Start anew if a cycle ends with this epoch, counted from 1."""
        if self.cycle_epochs is not None and epoch % self.cycle_epochs == 0:
            self.updates = 0
            for name, value in network.state_dict().items():
                paddle.assign(value, self.values[name])

    def arrays(self) -> dict[str, np.ndarray]:
        """The averaged state dict."""
        return {name: value.numpy() for name, value in self.values.items()}

    def restore(self, arrays: dict[str, np.ndarray], updates: int) -> None:
        """Go on from what `arrays` gave after so many updates."""
        self.updates = updates
        self.values = {name: paddle.to_tensor(array) for name, array in arrays.items()}
