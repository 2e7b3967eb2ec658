"""Constants of a network that are stored as the float16 weights they were computed from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.half_initialisers import find_parts, halve, sum_of

RNG = np.random.default_rng(0)


def half(*shape: int) -> np.ndarray:
    """Float32 with values of float16, as trained weights are."""
    return (0.05 * RNG.normal(size=shape)).astype(np.float16).astype(np.float32)


def factors(channels: int) -> np.ndarray:
    return RNG.uniform(0.2, 3, (channels, 1, 1, 1)).astype(np.float32)


LARGE, OTHER, POINTWISE = half(32, 32, 3, 3), half(32, 32, 3, 3), half(32, 32, 1, 1)
ONE_DEAD = LARGE * (np.arange(32) != 7).reshape(-1, 1, 1, 1)
MIDDLE = [(0, 0), (0, 0), (1, 1), (1, 1)]


def network(constants: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A chain of convolutions with these kernels."""
    names = ["x", *(f"after {name}" for name in constants)]
    nodes = [
        helper.make_node("Conv", [before, name], [after], name, pads=[kernel.shape[-1] // 2] * 4)
        for before, after, (name, kernel) in zip(names, names[1:], constants.items())
    ]
    first, last = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 32, "H", "W"]) for name in ("x", names[-1])
    )
    tensors = [numpy_helper.from_array(kernel, name) for name, kernel in constants.items()]
    graph = helper.make_graph(nodes, "chain", [first], [last], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=9)


def test_no_weights_change_nothing() -> None:
    model = network({"kernel": LARGE})
    before = model.SerializeToString()
    halve(model, [])
    assert model.SerializeToString() == before


@pytest.mark.parametrize(
    ("constant", "weights", "operators"),
    [
        (LARGE, [OTHER, LARGE], ["Cast"]),
        (LARGE * factors(32), [OTHER, LARGE], ["Cast", "Mul"]),
        (ONE_DEAD * factors(32), [ONE_DEAD], ["Cast", "Mul"]),
        (LARGE * (factors(32) * (np.arange(32) != 7).reshape(-1, 1, 1, 1)), [LARGE], ["Cast", "Mul"]),
        (
            OTHER * factors(32) + np.float32(1.37) * np.pad(POINTWISE * factors(32), MIDDLE),
            [LARGE, POINTWISE, OTHER],
            ["Cast", "Mul", "Cast", "Mul", "Pad", "Add"],
        ),
    ],
    ids=["as it is", "batch norm", "a channel of zeros", "a channel multiplied by zero", "RepVGG"],
)
def test_what_a_constant_was_made_of_is_found_and_computed_again(
    constant: np.ndarray, weights: list[np.ndarray], operators: list[str]
) -> None:
    constant = constant.astype(np.float32)
    model = network({"kernel": constant})
    size, picture = model.ByteSize(), RNG.normal(size=(1, 32, 8, 8)).astype(np.float32)
    expected = run(model, picture)
    halve(model, weights)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == [*operators, "Conv"]
    assert len({node.name for node in model.graph.node}) == len(operators) + 1
    assert model.ByteSize() < 0.65 * size
    np.testing.assert_allclose(run(model, picture), expected, rtol=1e-5, atol=1e-5)
    parts = find_parts(constant, weights)
    assert parts is not None
    np.testing.assert_allclose(sum_of(parts), constant, rtol=0, atol=1e-6 * np.abs(constant).max())


def run(model: onnx.ModelProto, picture: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": picture})[0]


FULL = RNG.normal(size=(32, 32, 3, 3)).astype(np.float32)
NEARLY = LARGE * factors(32)
NEARLY[3, 4, 1, 1] *= np.float32(1 + 1e-5)


@pytest.mark.parametrize(
    ("constant", "weights"),
    [
        (FULL, [FULL]),
        (FULL * factors(32), [FULL, LARGE, POINTWISE]),
        (NEARLY, [LARGE, POINTWISE]),
        (half(32, 1, 3, 3), []),
        (1e6 * FULL, [1e6 * FULL]),
    ],
    ids=["float32", "float32 and batch norm", "one value is another", "too small", "beyond float16"],
)
def test_other_constants_stay_as_they_are(constant: np.ndarray, weights: list[np.ndarray]) -> None:
    model = network({"kernel": constant})
    before = model.SerializeToString()
    halve(model, [*weights, constant] if constant.size < 1024 else weights)
    assert model.SerializeToString() == before


def test_each_of_several_constants_for_itself() -> None:
    gains = factors(32)
    model = network({"first": LARGE * gains, "second": FULL, "third": POINTWISE})
    halve(model, [POINTWISE, LARGE])
    onnx.checker.check_model(model, full_check=True)
    kinds = {constant.name: constant.data_type for constant in model.graph.initializer}
    assert kinds == {
        "first.half0": TensorProto.FLOAT16,
        "first.factors0": TensorProto.FLOAT,
        "second": TensorProto.FLOAT,
        "third.half0": TensorProto.FLOAT16,
    }
