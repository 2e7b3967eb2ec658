"""A detector as a folder that PaddleX loads: `paddlex.create_model(NAME, model_dir=FOLDER)`.

The three files are `inference.json` (the graph, NMS included), `inference.pdiparams` (the weights) and
`inference.yml` (what PaddleX does before and after).
"""

from __future__ import annotations

from pathlib import Path

import paddle
from paddle import _C_ops, nn

from training.detectors.description import DetectorDescription
from tritonface_server.export_folder import SETTINGS, settings_text

IMAGE = paddle.static.InputSpec([None, 3, None, None], "float32", name="image")
SCALE_YX = paddle.static.InputSpec([None, 2], "float32", name="scale_factor")
SIZE_HW = paddle.static.InputSpec([None, 2], "float32", name="im_shape")


class PaddleXDetector(nn.Layer):
    """A detector with the inputs and outputs of PaddleX's exported ones."""

    def __init__(self, network: nn.Layer, detector: DetectorDescription) -> None:
        super().__init__()
        self.network = network
        self.nms = detector.nms

    def forward(
        self, image: paddle.Tensor, scale_factor: paddle.Tensor, im_shape: paddle.Tensor | None = None
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Detections of all images, one after the other.

        Args:
            image: float32 [N, 3, H, W], normalised RGB.
            scale_factor: float32 [N, 2], network pixels per original pixel, (y, x).
            im_shape: float32 [N, 2], (H, W), which the network knows from `image`.

        Returns:
            Rows float32 [M, 6] of class, score, xmin, ymin, xmax, ymax in original-image pixels, best first
            within an image, and their number per image, int32 [N].
        """
        boxes, scores = self.network(image)  # [N, A, 4], [N, A] or [N, A, C]
        scale_xyxy = scale_factor.flip([1]).tile([1, 2]).unsqueeze(1)  # [N, 1, 4]
        if im_shape is not None:  # an input that the graph does not use would be left out of the file
            scale_xyxy = scale_xyxy + 0 * im_shape.tile([1, 2]).unsqueeze(1)
        rows, _, counts = _C_ops.multiclass_nms3(
            boxes / scale_xyxy,
            scores.unsqueeze(1) if scores.ndim == 2 else scores.transpose([0, 2, 1]),  # [N, C, A]
            None,  # boxes per image: all A
            self.nms.score_threshold,
            self.nms.top_k,
            self.nms.keep_top_k,
            self.nms.iou_threshold,
            True,  # areas without the historical +1
            1.0,  # the IoU threshold does not change on the way
            -1,  # no class is background
        )
        return rows, counts


def export_paddlex(network: nn.Layer, detector: DetectorDescription, folder: Path) -> None:
    """Write the three files; the folder is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    served = network.fused() if hasattr(network, "fused") else network  # as in the ONNX file
    layer = PaddleXDetector(served, detector)
    layer.eval()
    inputs = [IMAGE, SCALE_YX, *([SIZE_HW] if detector.paddlex_feeds_size else [])]
    paddle.jit.save(layer, str(folder / "inference"), input_spec=inputs)
    write_settings(detector, folder)


def write_settings(detector: DetectorDescription, folder: Path) -> None:
    """Write what PaddleX and the server have to know about the networks beside it."""
    text = settings_text(
        detector, mean_rgb=detector.mean_rgb, std_rgb=detector.std_rgb, architecture=detector.paddlex_architecture
    )
    (folder / SETTINGS).write_text(text, encoding="utf-8")
