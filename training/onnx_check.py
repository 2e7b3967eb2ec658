"""What TensorRT 10 would refuse in an ONNX network, found without TensorRT.

python -m training.onnx_check FILE.onnx ...

Operators, types and restrictions are those of `docs/operators.md` of onnx-tensorrt 10; the rules for uint8 are those
of `nvinfer1::DataType`. Two rules are stricter than TensorRT 10, which knows INT64: constants must fit INT32, and no
INT64 arithmetic on anything but shapes, so that nothing depends on how a version narrows integers. Control flow
(If, Loop, Scan) is refused because the check does not look inside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = range(9, 21)

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
NUMBERS = FLOATS | {TensorProto.INT32, TensorProto.INT64}
VALUES = NUMBERS | {TensorProto.BOOL}

ON_FLOATS = """
    Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos Cosh CumSum
    DeformConv Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample
    GroupNormalization HardSigmoid HardSwish Hardmax ImageScaler InstanceNormalization IsInf LRN LSTM
    LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization Mish
    NonMaxSuppression NonZero PRelu ParametricSoftplus Pow QuantizeLinear RNN RandomNormal RandomNormalLike
    RandomUniform RandomUniformLike Reciprocal Resize RoiAlign Round ScaledTanh Selu Sigmoid Sin Sinh Softmax Softplus
    Softsign Sqrt Tan Tanh ThresholdedRelu Upsample
"""
ON_NUMBERS = """
    Abs Add ArgMax ArgMin DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less LessOrEqual Max Mean Min Mod Mul
    Neg Pad Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK
"""
ON_VALUES = """
    Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND Identity OneHot Reshape
    ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where
"""
SUPPORTED: dict[str, frozenset[int]] = {
    **dict.fromkeys(ON_FLOATS.split(), FLOATS),
    **dict.fromkeys(ON_NUMBERS.split(), NUMBERS),
    **dict.fromkeys(ON_VALUES.split(), VALUES),
    **dict.fromkeys(["And", "Not", "Or", "Xor"], frozenset({TensorProto.BOOL})),
    **dict.fromkeys(["Cast", "CastLike"], VALUES | {TensorProto.UINT8}),
    "DequantizeLinear": frozenset({TensorProto.INT8}),
}
"""Operators TensorRT has and the types it takes for their data."""

CONTROL_FLOW = ("If", "Loop", "Scan")
ARITHMETIC = {*ON_FLOATS.split(), *ON_NUMBERS.split(), "Cast"} - {"ArgMax", "ArgMin", "TopK"}
DATA_INPUT = {"Where": 1}  # for the others it is the first

CONSTANT_INPUTS = {"Slice": 3, "Squeeze": 1, "Unsqueeze": 1, "Pad": 3, "CumSum": 1} | {
    name: 1 for name in ON_NUMBERS.split() if name.startswith("Reduce")
}
"""The input `axes` or `axis`, which must be an initializer."""

SHAPE_INPUTS = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 4),
    "Tile": (1,),
    "TopK": (1,),
    "Upsample": (1,),
}
"""Inputs that set the size of the output; TensorRT has to know them from the input shapes alone."""

ATTRIBUTES: dict[str, dict[str, tuple[object, set[object]]]] = {
    "Resize": {
        "mode": ("nearest", {"nearest", "linear"}),
        "coordinate_transformation_mode": (
            "half_pixel",
            {"half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"},
        ),
        "nearest_mode": ("round_prefer_floor", {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"}),
        "keep_aspect_ratio_policy": ("stretch", {"stretch"}),
        "antialias": (0, {0}),
    },
    "ScatterND": {"reduction": ("none", {"none"})},
    "TopK": {"sorted": (1, {1})},
}
"""Attributes with their default and the values that TensorRT takes."""

POOLS = ("MaxPool", "AveragePool", "LpPool")


def tensorrt_problems(model: onnx.ModelProto) -> list[str]:
    """One line for each thing that TensorRT 10 would refuse, with the node's name; none if all is well."""
    return list(_problems(onnx.shape_inference.infer_shapes(model, check_type=True, data_prop=True)))


def _problems(model: onnx.ModelProto) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version not in OPSETS:
            yield f"opset {opset.version}: TensorRT takes {OPSETS[0]} to {OPSETS[-1]}; export with one of these"
    graph = model.graph
    tensors = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    types = {name: tensor.elem_type for name, tensor in tensors.items()}
    types |= {constant.name: constant.data_type for constant in graph.initializer}
    outputs = {value.name for value in graph.output}
    constants = {constant.name for constant in graph.initializer}
    from_shapes = set(constants)
    for constant in graph.initializer:
        yield from _integers_that_do_not_fit(constant)
    for node in graph.node:
        where = f"{node.op_type} {node.name!r}"
        if node.domain not in ("", "ai.onnx") or node.op_type not in SUPPORTED:
            reason = "control flow is not checked" if node.op_type in CONTROL_FLOW else "TensorRT has no such operator"
            yield f"{where}: {reason}; write the layer with others"
            continue
        if node.op_type == "Constant":
            constants |= set(node.output)
            yield from (p for a in node.attribute if a.HasField("t") for p in _integers_that_do_not_fit(a.t, where))
        if node.op_type in ("Constant", "Shape", "Size") or (node.input and {*node.input} - {""} <= from_shapes):
            from_shapes |= set(node.output)
        yield from _type_problems(node, where, types, outputs, from_shapes)
        yield from _input_problems(node, where, constants, from_shapes)
        yield from _attribute_problems(node, where, tensors)
        for output in filter(None, node.output):
            if output not in tensors or not tensors[output].HasField("shape"):
                yield f"{where}: the rank of {output!r} is not known before running; TensorRT needs fixed ranks"


def _integers_that_do_not_fit(constant: onnx.TensorProto, where: str = "constant") -> Iterator[str]:
    if constant.data_type == TensorProto.INT64:
        values = numpy_helper.to_array(constant)
        limits = np.iinfo(np.int32)
        if values.size and (values.min() < limits.min or values.max() > limits.max):
            yield f"{where} {constant.name!r}: values from {values.min()} to {values.max()} do not fit INT32"


def _type_problems(
    node: onnx.NodeProto, where: str, types: dict[str, int], outputs: set[str], from_shapes: set[str]
) -> Iterator[str]:
    data = [*node.input[DATA_INPUT.get(node.op_type, 0) :][:1]]
    for kind in {types[name] for name in data if name in types} - SUPPORTED[node.op_type]:
        remedy = "; cast the input to float first" if kind == TensorProto.UINT8 else ""
        yield f"{where}: TensorRT does not take {_type_name(kind)} here{remedy}"
    for name in filter(types.get, node.output):
        kind = types[name]
        if kind == TensorProto.UINT8 and name not in outputs:
            yield f"{where}: {name!r} is UINT8, which only inputs and outputs of the network may be"
        elif kind not in VALUES | {TensorProto.UINT8, TensorProto.INT8}:
            yield f"{where}: {name!r} is {_type_name(kind)}, which TensorRT does not have"
        if kind == TensorProto.INT64 and node.op_type in ARITHMETIC and name not in from_shapes:
            yield f"{where}: INT64 arithmetic on data; only shapes may be INT64, compute this in INT32 or float"
        if node.op_type == "Cast" and types.get(node.input[0]) == TensorProto.UINT8 and kind not in FLOATS:
            yield f"{where}: UINT8 converts to floats only, not to {_type_name(kind)}"


def _input_problems(node: onnx.NodeProto, where: str, constants: set[str], from_shapes: set[str]) -> Iterator[str]:
    index = CONSTANT_INPUTS.get(node.op_type, len(node.input))
    yield from (
        f"{where}: {name!r} must be an initializer" for name in node.input[index:][:1] if name not in {*constants, ""}
    )
    for index in SHAPE_INPUTS.get(node.op_type, ()):
        for name in node.input[index:][:1]:
            if name and name not in from_shapes:
                yield f"{where}: {name!r} sets the output's size and depends on data; compute it from shapes"


def _attribute_problems(node: onnx.NodeProto, where: str, tensors: dict[str, onnx.TypeProto.Tensor]) -> Iterator[str]:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    values = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
    for name, (default, accepted) in ATTRIBUTES.get(node.op_type, {}).items():
        if values.get(name, default) not in accepted:
            known = ", ".join(sorted(map(str, accepted)))
            yield f"{where}: {name}={values[name]} is not supported, only {known}"
    if node.op_type in POOLS:
        if len(values["kernel_shape"]) not in (2, 3):
            yield f"{where}: TensorRT pools in 2 or 3 dimensions, not {len(values['kernel_shape'])}"
        if set(values.get("dilations", ())) - {1}:
            yield f"{where}: dilations={values['dilations']} are not supported"
        if len([*filter(None, node.output)]) > 1:
            yield f"{where}: the output Indices is not supported"


def _type_name(kind: int) -> str:
    return TensorProto.DataType.Name(kind)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.onnx_check", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    lines = [f"{path}: {line}" for path in parser.parse_args().files for line in tensorrt_problems(onnx.load(path))]
    sys.exit("\n".join(lines) or None)


if __name__ == "__main__":
    main()
