"""A detector as an ONNX network that takes uint8 pictures, as the server's detector step runs it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import paddle
from paddle import nn

from training.detectors.description import DetectorDescription
from training.half_initialisers import halve
from training.networks.pictures import PictureDetector
from training.onnx_check import FLOATS
from training.paddle_to_onnx import convert
from tritonface_server.export_folder import INPUT_NAME, OUTPUT_NAMES
from tritonface_server.tensorrt import DECODING

DYNAMIC_AXES = {"picture": ("N", "H", "W"), "boxes": ("N", "A"), "scores": ("N", "A")}
"""Of one class; the scores of several have the axis A * C, see `tritonface_server.export_folder`."""


def export_onnx(network: nn.Layer, detector: DetectorDescription, output: Path) -> None:
    """Write the ONNX file: dynamic batch, height and width, named outputs, no NMS inside.

    Weights that are float16 by value are stored so; what is computed from them stays float32.

    Raises:
        training.paddle_to_onnx.ExportError: the conversion failed.
    """
    fused = network.fused() if hasattr(network, "fused") else network
    served = PictureDetector(fused, detector)
    served.eval()
    picture = paddle.static.InputSpec([None, None, None, 3], "uint8", name=INPUT_NAME)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paddle.jit.save(served, str(folder / "inference"), input_spec=[picture])
        convert(folder / "inference.json", folder / "inference.pdiparams", folder / "model.onnx")
        model = onnx.load(folder / "model.onnx")
    _name_interface(model.graph, detector)
    for node in decoding_nodes(model):
        node.name = DECODING + node.name
    halve(model, [weight.numpy() for weight in network.state_dict().values()])
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


def _name_interface(graph: onnx.GraphProto, detector: DetectorDescription) -> None:
    """Give graph, outputs and dynamic axes the names that people read in a model viewer."""
    graph.name = detector.name
    classes = len(detector.labels)
    axes = DYNAMIC_AXES if classes == 1 else {**DYNAMIC_AXES, "scores": ("N", f"A*{classes}")}
    renamed = {old.name: new for old, new in zip(graph.output, OUTPUT_NAMES)}
    for node in graph.node:
        node.output[:] = [renamed.get(value, value) for value in node.output]
        node.input[:] = [renamed.get(value, value) for value in node.input]
    for value in graph.output:
        value.name = renamed[value.name]
    for value in [*graph.input, *graph.output]:
        for axis, axis_name in enumerate(axes[value.name]):
            value.type.tensor_type.shape.dim[axis].dim_param = axis_name
