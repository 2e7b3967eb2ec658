"""Weights to an ONNX network that takes uint8 pictures, as the server's detector step runs it; or to PaddleX's files.

python -m training.export [--weights FILE] [--output FILE | --paddlex FOLDER] DETECTOR
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import onnx
import paddle
from paddle import nn

from serving.detectors import DETECTORS, Detector, get_detector
from serving.repository import ROOT, network_file
from training.detectors import build_detector
from training.paddle_to_onnx import ExportError, convert
from training.paddlex_folder import export_paddlex
from training.weights import WeightsError, load_weights

INPUT_NAME, OUTPUT_NAMES = "picture", ("boxes", "scores")
DYNAMIC_AXES = {"picture": "NHW", "boxes": "NA", "scores": "NA"}


class PictureDetector(nn.Layer):
    """A detector behind its own normalisation: uint8 [N, H, W, 3] BGR in, boxes and scores out.

    Layout and colour order change while the values are still bytes, a quarter of the memory traffic of float32.
    """

    def __init__(self, network: nn.Layer, detector: Detector) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("bgr_to_rgb", paddle.to_tensor([2, 1, 0]), persistable=False)
        self.register_buffer("mean", _per_channel(detector.mean_rgb), persistable=False)
        self.register_buffer("scale", 1 / _per_channel(detector.std_rgb), persistable=False)

    def forward(self, picture: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        planes = picture.transpose([0, 3, 1, 2])  # uint8 [N, 3, H, W] BGR
        rgb = paddle.gather(planes, self.bgr_to_rgb, axis=1).astype("float32")
        return self.network((rgb - self.mean) * self.scale)


def export_onnx(network: nn.Layer, detector: Detector, output: Path) -> None:
    """Write the ONNX file: dynamic batch, height and width, named outputs, no NMS inside.

    Raises:
        training.paddle_to_onnx.ExportError: the conversion failed.
    """
    network = network.fused() if hasattr(network, "fused") else network
    served = PictureDetector(network, detector)
    served.eval()
    picture = paddle.static.InputSpec([None, None, None, 3], "uint8", name=INPUT_NAME)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paddle.jit.save(served, str(folder / "inference"), input_spec=[picture])
        convert(folder / "inference.json", folder / "inference.pdiparams", folder / "model.onnx")
        model = onnx.load(folder / "model.onnx")
    _name_interface(model.graph, detector.name)
    onnx.checker.check_model(model, full_check=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, output)


def _name_interface(graph: onnx.GraphProto, name: str) -> None:
    """Give graph, outputs and dynamic axes the names that people read in a model viewer."""
    graph.name = name
    renamed = {old.name: new for old, new in zip(graph.output, OUTPUT_NAMES)}
    for node in graph.node:
        node.output[:] = [renamed.get(value, value) for value in node.output]
        node.input[:] = [renamed.get(value, value) for value in node.input]
    for value in graph.output:
        value.name = renamed[value.name]
    for value in [*graph.input, *graph.output]:
        for axis, axis_name in enumerate(DYNAMIC_AXES[value.name]):
            value.type.tensor_type.shape.dim[axis].dim_param = axis_name


def _per_channel(values: tuple[float, float, float]) -> paddle.Tensor:
    return paddle.to_tensor(values, dtype="float32").reshape([1, 3, 1, 1])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=DETECTORS)
    parser.add_argument("--weights", type=Path, help="default: weights/DETECTOR.safetensors")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--output", type=Path, help="default: the model repository's file")
    target.add_argument("--paddlex", type=Path, metavar="FOLDER", help="write what PaddleX loads from model_dir")
    arguments = parser.parse_args()
    name = arguments.detector
    output = arguments.output or network_file(get_detector(name))
    network = build_detector(name)
    try:
        load_weights(network, arguments.weights or ROOT / "weights" / f"{name}.safetensors")
        if arguments.paddlex:
            export_paddlex(network, get_detector(name), arguments.paddlex)
        else:
            export_onnx(network, get_detector(name), output)
    except (WeightsError, ExportError, OSError) as error:
        sys.exit(f"error: {error}")
    print(arguments.paddlex or output)


if __name__ == "__main__":
    main()
