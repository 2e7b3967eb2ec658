"""A network behind its normalisation: what is trained, evaluated and exported takes pictures as they are decoded."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn

from training.detectors.description import DetectorDescription
from tritonface_server.in_process import Network


class PictureDetector(nn.Layer):
    """uint8 [N, H, W, 3] BGR in, boxes and scores out as `tritonface_server.export_folder` has them.

    The cast to float comes first, because TensorRT has uint8 for inputs only and computes nothing on it.
    """

    def __init__(self, network: nn.Layer, detector: DetectorDescription) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("bgr_to_rgb", paddle.to_tensor([2, 1, 0]), persistable=False)
        self.register_buffer("mean", _per_channel(detector.mean_rgb), persistable=False)
        self.register_buffer("scale", 1 / _per_channel(detector.std_rgb), persistable=False)

    def forward(self, picture: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        boxes, scores = self.network(self.normalised(picture))
        return boxes, scores if scores.ndim == 2 else scores.flatten(1)

    def normalised(self, picture: paddle.Tensor) -> paddle.Tensor:
        """What the network itself takes: float32 [N, 3, H, W] RGB."""
        planes = picture.astype("float32").transpose([0, 3, 1, 2])  # [N, 3, H, W] BGR
        rgb = paddle.gather(planes, self.bgr_to_rgb, axis=1)
        return (rgb - self.mean) * self.scale


def _per_channel(values: tuple[float, float, float]) -> paddle.Tensor:
    return paddle.to_tensor(values, dtype="float32").reshape([1, 3, 1, 1])


def as_function(network: nn.Layer, detector: DetectorDescription) -> Network:
    """A network at hand, in inference mode from now on, as `tritonface_server.in_process` runs one."""
    layer = PictureDetector(network, detector)
    layer.eval()

    def run(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with paddle.no_grad():
            boxes, scores = layer(paddle.to_tensor(pictures))
        return boxes.numpy(), scores.numpy()

    return run
