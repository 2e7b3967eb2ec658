"""The exported networks against TensorRT's documented rules, and the rules against graphs that break them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.parity.conftest import Exported
from training.onnx_check import tensorrt_problems
from training.onnx_network import decoding_nodes
from tritonface_server.tensorrt import DECODING

FLOAT, INT64, UINT8, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8, TensorProto.DOUBLE
SHAPE = ["N", 3, "H", "W"]
node = helper.make_node


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    input_type: int = FLOAT,
    output_type: int = FLOAT,
    input_shape: Sequence[str | int] = SHAPE,
    opset: int = 16,
) -> onnx.ModelProto:
    """A graph from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", input_type, input_shape)],
        [helper.make_tensor_value_info("y", output_type, None)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)])


def test_an_empty_graph_has_no_problems() -> None:
    assert tensorrt_problems(model([])) == []


def test_tensorrt_would_take_the_networks(exported: Exported) -> None:
    assert tensorrt_problems(onnx.load(exported.file)) == []


def test_layers_can_be_told_apart_by_name(exported: Exported) -> None:
    names = [node.name for node in onnx.load(exported.file).graph.node]
    assert all(names) and len({*names}) == len(names)
    assert not [name for name in names if {*name} & {*",*'"}]  # trtexec gives these a meaning


def test_exactly_the_decoding_is_named_so(exported: Exported) -> None:
    network = onnx.load(exported.file)
    named = [node.name for node in network.graph.node if node.name.startswith(DECODING)]
    assert named == [node.name for node in decoding_nodes(network)]
    makers = {output: node for node in network.graph.node for output in node.output}
    assert {"boxes", "scores"} <= {o for node in network.graph.node if node.name in named for o in node.output}
    operators = {node.op_type for node in network.graph.node if node.name in named}
    assert operators & {"Exp", "MatMul"} and not operators & {"Conv", "BatchNormalization", "MaxPool", "Cast", "Shape"}
    inferred = onnx.shape_inference.infer_shapes(network, data_prop=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    assert all(types[output] == FLOAT for node in network.graph.node if node.name in named for output in node.output)
    entering = {i for n in network.graph.node if n.name in named for i in n.input if i in makers}
    entering = {makers[i].op_type for i in entering if types[i] == FLOAT and makers[i].name not in named}
    assert entering == {"Conv", "Cast"}


ONE = {"one": np.array([1], np.int64)}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (model([node("Det", ["x"], ["y"], "n")]), "Det 'n': TensorRT has no such operator"),
        (model([node("Relu", ["x"], ["y"], "n", domain="mine")]), "Relu 'n': TensorRT has no such operator"),
        (model([node("Relu", ["x"], ["y"], "n")], opset=8), "opset 8: TensorRT takes 9 to 20"),
        (
            model([node("Transpose", ["x"], ["t"], "n"), node("Cast", ["t"], ["y"], "c", to=FLOAT)], input_type=UINT8),
            "Transpose 'n': TensorRT does not take UINT8 here; cast the input to float first",
        ),
        (
            model([node("Cast", ["x"], ["t"], "n", to=UINT8), node("Cast", ["t"], ["y"], "c", to=FLOAT)]),
            "Cast 'n': 't' is UINT8, which only inputs and outputs",
        ),
        (
            model(
                [node("Cast", ["x"], ["y"], "n", to=TensorProto.INT32)], input_type=UINT8, output_type=TensorProto.INT32
            ),
            "Cast 'n': UINT8 converts to floats only, not to INT32",
        ),
        (model([node("Cast", ["x"], ["y"], "n", to=DOUBLE)], output_type=DOUBLE), "Cast 'n': 'y' is DOUBLE"),
        (
            model([node("Add", ["x", "one"], ["y"], "n")], ONE, input_type=INT64, output_type=INT64),
            "Add 'n': INT64 arithmetic on data",
        ),
        (
            model([node("Cast", ["x"], ["y"], "n", to=INT64)], output_type=INT64),
            "Cast 'n': INT64 arithmetic on data",
        ),
        (
            model([node("Reshape", ["x", "big"], ["y"], "n")], {"big": np.array([2**31], np.int64)}),
            "constant 'big': values from 2147483648 to 2147483648 do not fit INT32",
        ),
        (
            model(
                [node("Constant", [], ["y"], "n", value=numpy_helper.from_array(np.array([-(2**40)])))], output_type=7
            ),
            "Constant 'n' '': values from -1099511627776",
        ),
        (
            model([node("Reshape", ["x", "x"], ["y"], "n")], input_type=INT64, output_type=INT64, input_shape=["N"]),
            "Reshape 'n': 'x' sets the output's size and depends on data",
        ),
        (
            model([node("Reshape", ["x", "x"], ["y"], "n")], input_type=INT64, output_type=INT64, input_shape=["N"]),
            "Reshape 'n': the rank of 'y' is not known before running",
        ),
        (
            model(
                [node("Range", ["zero", "x", "step"], ["y"], "n")],
                {"zero": np.float32(0), "step": np.float32(1)},
                input_shape=[],
            ),
            "Range 'n': 'x' sets the output's size",
        ),
        (
            model([node("Expand", ["f", "x"], ["y"], "n")], {"f": np.float32(0)}, input_type=INT64, input_shape=[2]),
            "Expand 'n': 'x' sets the output's size",
        ),
        (
            model([node("Tile", ["f", "x"], ["y"], "n")], {"f": np.zeros((1, 2))}, input_type=INT64, input_shape=[2]),
            "Tile 'n': 'x' sets the output's size",
        ),
        (
            model([node("Unsqueeze", ["f", "x"], ["y"], "n")], {"f": np.float32([1])}, INT64, input_shape=[1]),
            "Unsqueeze 'n': 'x' must be an initializer",
        ),
        (
            model(
                [node("Resize", ["x", "", "scales"], ["y"], "n", mode="cubic")], {"scales": np.float32([1, 1, 2, 2])}
            ),
            "Resize 'n': mode=cubic is not supported, only linear, nearest",
        ),
        (
            model(
                [node("Resize", ["x", "", "s"], ["y"], "n", coordinate_transformation_mode="tf_crop_and_resize")],
                {"s": np.float32([1, 1, 2, 2])},
            ),
            "Resize 'n': coordinate_transformation_mode=tf_crop_and_resize is not supported",
        ),
        (
            model([node("MaxPool", ["x"], ["y", "i"], "n", kernel_shape=[2, 2])]),
            "MaxPool 'n': the output Indices is not supported",
        ),
        (
            model([node("MaxPool", ["x"], ["y"], "n", kernel_shape=[2, 2], dilations=[2, 2])]),
            r"MaxPool 'n': dilations=[2, 2] are not supported",
        ),
        (
            model([node("MaxPool", ["x"], ["y"], "n", kernel_shape=[2])], input_shape=["N", 3, "W"]),
            "MaxPool 'n': TensorRT pools in 2 or 3 dimensions, not 1",
        ),
        (
            model([node("TopK", ["x", "one"], ["y", "i"], "n", sorted=0)], ONE),
            "TopK 'n': sorted=0 is not supported, only 1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_rule_finds_what_breaks_it(broken: onnx.ModelProto, message: str) -> None:
    problems = tensorrt_problems(broken)
    assert [problem for problem in problems if problem.startswith(message)], problems


def test_control_flow_is_not_passed_over() -> None:
    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("x", FLOAT, SHAPE)])
    condition = {"c": np.array(True)}
    broken = model([node("If", ["c"], ["y"], "n", then_branch=branch, else_branch=branch)], condition)
    assert tensorrt_problems(broken) == ["If 'n': control flow is not checked; write the layer with others"]


@pytest.mark.parametrize(
    "fine",
    [
        model([node("Cast", ["x"], ["y"], "n", to=FLOAT)], input_type=UINT8),
        model([node("MaxPool", ["x"], ["y"], "n", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)]),
        model(
            [
                node("Shape", ["x"], ["shape"], "a"),
                node("Slice", ["shape", "two", "three"], ["height"], "b"),
                node("Mul", ["height", "two"], ["double"], "c"),
                node("Squeeze", ["double"], ["limit"], "d"),
                node("Cast", ["limit"], ["float"], "e", to=FLOAT),
                node("Range", ["zero", "float", "step"], ["y"], "f"),
            ],
            {
                "two": np.array([2]),
                "three": np.array([3]),
                "zero": np.float32(0),
                "step": np.float32(1),
            },
        ),
    ],
)
def test_what_the_networks_do_is_allowed(fine: onnx.ModelProto) -> None:
    assert tensorrt_problems(fine) == []
