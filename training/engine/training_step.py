"""One step of training: uint8 pictures and true boxes to losses, in one layer that several devices can share."""

from __future__ import annotations

import paddle
from paddle import nn

from training.config import Train
from training.detectors.description import DetectorDescription
from training.losses import Loss
from training.losses.targets import Targets
from training.networks.pictures import PictureDetector
from training.recipes import RECIPES


class TrainingStep(nn.Layer):
    """The network behind its normalisation, and its loss.

    Attributes:
        loss: may change between epochs, see `loss_of_epoch`.
    """

    def __init__(self, network: nn.Layer, detector: DetectorDescription, loss: Loss) -> None:
        super().__init__()
        self.pictures = PictureDetector(network, detector)
        self.loss = loss

    def forward(
        self,
        pictures: paddle.Tensor,
        boxes_xyxy_px: paddle.Tensor,
        labels: paddle.Tensor,
        ignored: paddle.Tensor | None = None,
    ) -> dict[str, paddle.Tensor]:
        """Named losses, "loss" being the total.

        Args:
            pictures: uint8 [N, H, W, 3] BGR.
            boxes_xyxy_px, labels, ignored: as `training.losses.targets.Targets` has them.
        """
        outputs = self.pictures.network.outputs(self.pictures.normalised(pictures))
        height, width = pictures.shape[1:3]
        return self.loss(outputs, Targets(boxes_xyxy_px, labels, (width, height), ignored))


def loss_of_epoch(detector: DetectorDescription, train: Train, epoch: int) -> Loss:
    """The loss that a detector learns by in an epoch, counted from 0."""
    build_loss = RECIPES[train.recipe].loss_of(detector)
    if train.static_assigner_epochs is None:
        return build_loss()
    return build_loss(assigner="atss" if epoch < train.static_assigner_epochs else "tal")
