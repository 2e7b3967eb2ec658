"""Weights to an ONNX network that takes uint8 pictures, as the server's detector step runs it.

python -m training.export [--weights FILE] [--output FILE | --folder FOLDER] DETECTOR
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import onnx
import paddle
from paddle import nn

from training.detectors import build_detector
from training.onnx_check import FLOATS
from training.paddle_to_onnx import ExportError, convert
from training.paddlex_folder import export_paddlex
from training.weights import WeightsError, load_weights
from tritonface_server.detectors import DETECTORS, Detector, get_detector
from tritonface_server.repository import ROOT, network_file
from tritonface_server.tensorrt import DECODING

INPUT_NAME, OUTPUT_NAMES = "picture", ("boxes", "scores")
DYNAMIC_AXES = {"picture": "NHW", "boxes": "NA", "scores": "NA"}


class PictureDetector(nn.Layer):
    """A detector behind its own normalisation: uint8 [N, H, W, 3] BGR in, boxes and scores out.

    The cast to float comes first, because TensorRT has uint8 for inputs only and computes nothing on it.
    """

    def __init__(self, network: nn.Layer, detector: Detector) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("bgr_to_rgb", paddle.to_tensor([2, 1, 0]), persistable=False)
        self.register_buffer("mean", _per_channel(detector.mean_rgb), persistable=False)
        self.register_buffer("scale", 1 / _per_channel(detector.std_rgb), persistable=False)

    def forward(self, picture: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        return self.network(self.normalised(picture))

    def normalised(self, picture: paddle.Tensor) -> paddle.Tensor:
        """What the network itself takes: float32 [N, 3, H, W] RGB."""
        planes = picture.astype("float32").transpose([0, 3, 1, 2])  # [N, 3, H, W] BGR
        rgb = paddle.gather(planes, self.bgr_to_rgb, axis=1)
        return (rgb - self.mean) * self.scale


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
    for node in decoding_nodes(model):
        node.name = DECODING + node.name
    onnx.checker.check_model(model, full_check=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, output)


def decoding_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that compute floats behind the last convolutions: box decoding, its grid of cells, and scores.

    Engines in FP16 keep them in FP32 and know them by their names, which `export_onnx` begins with `DECODING`.
    """
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    floats = {v.name for v in (*inferred.value_info, *inferred.output) if v.type.tensor_type.elem_type in FLOATS}
    makers = {output: node for node in model.graph.node for output in node.output}
    pending, seen = [*OUTPUT_NAMES], set()
    while pending:
        name = pending.pop()
        if name in makers and name not in seen and makers[name].op_type not in ("Conv", "Shape"):
            seen.add(name)
            pending += makers[name].input
    return [node for node in model.graph.node if node.op_type != "Cast" and seen & floats & {*node.output}]


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
    target.add_argument("--folder", type=Path, help="write model.onnx, for publishing, and what PaddleX loads")
    arguments = parser.parse_args()
    name = arguments.detector
    output = arguments.output or network_file(get_detector(name))
    network = build_detector(name)
    try:
        load_weights(network, arguments.weights or ROOT / "weights" / f"{name}.safetensors")
        if arguments.folder:
            export_paddlex(network, get_detector(name), arguments.folder)
            output = arguments.folder / "model.onnx"
        export_onnx(network, get_detector(name), output)
    except (WeightsError, ExportError, OSError) as error:
        sys.exit(f"error: {error}")
    print(arguments.folder or output)


if __name__ == "__main__":
    main()
