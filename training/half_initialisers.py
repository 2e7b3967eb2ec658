"""Stores the constants of an exported network as the float16 weights that they were computed from.

Export folds batch norms into convolutions and the branches of RepVGG into one kernel, so that a constant is no float16
weight any more but one times a factor per output channel, or the sum of two such. `halve` finds weights and factors
again and leaves it to the runtimes to multiply them when they load the file, which is half as large for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAST_NUMBERS = 1024
"""Smaller constants stay as they are; all of them together are a fiftieth of a network."""
ULPS = 3
"""How far the product may lie from the constant, in units of the last place of its summands: each of them, its factor
and the sum are rounded once here and were when the network was exported."""


class Part(NamedTuple):
    """A summand of a constant.

    Attributes:
        weight: float32 [O, ...] with values of float16.
        factors: float32 [O, 1, ...], for each output channel.
    """

    weight: np.ndarray
    factors: np.ndarray

    def product(self) -> np.ndarray:
        """Float32, as a runtime computes it."""
        return self.weight * self.factors


def halve(model: onnx.ModelProto, weights: Iterable[np.ndarray]) -> None:
    """Store the large constants of a network in half precision, where they can be computed from `weights` again.

    Args:
        weights: the trained ones, float32; those that hold other values than float16 has are passed over.
    """
    halves = [weight for weight in weights if weight.ndim > 1 and _is_half(weight)]
    nodes: list[onnx.NodeProto] = []
    constants: list[TensorProto] = []
    for constant in model.graph.initializer:
        parts = None
        if constant.data_type == TensorProto.FLOAT and np.prod(constant.dims) >= LEAST_NUMBERS:
            parts = find_parts(numpy_helper.to_array(constant), halves)
        if parts is None:
            constants.append(constant)
        else:
            new_nodes, new_constants = _computed(constant.name, parts)
            nodes += new_nodes
            constants += new_constants
    _replace(model.graph.initializer, constants)
    _replace(model.graph.node, [*nodes, *model.graph.node])


def find_parts(constant: np.ndarray, halves: Sequence[np.ndarray]) -> list[Part] | None:
    """The one or two weights among `halves` of which a constant was made; None if it was made of others."""
    alike = [weight for weight in halves if weight.shape == constant.shape]
    pointwise = [weight for weight in halves if weight.shape == (*constant.shape[:2], 1, 1)]
    for weights in [*((weight,) for weight in alike), *((one, other) for one in alike for other in pointwise)]:
        parts = _fit(constant, weights)
        if _is_close(sum_of(parts), constant, parts):
            return parts
    return None


def sum_of(parts: Sequence[Part]) -> np.ndarray:
    """Float32, kernels of 1x1 in the middle of the larger one."""
    total, *others = (_padded(part.product(), parts[0].weight.shape) for part in parts)
    for other in others:
        total = total + other
    return total


def _fit(constant: np.ndarray, weights: Sequence[np.ndarray]) -> list[Part]:
    """The factors by which the weights come nearest to the constant: least squares for each output channel."""
    channels = len(constant)
    wanted = constant.reshape(channels, -1, 1).astype(np.float64)  # [O, K, 1]
    padded = [_padded(weight, constant.shape).reshape(channels, -1) for weight in weights]
    basis = np.stack(padded, axis=-1).astype(np.float64)  # [O, K, parts]
    turned = basis.transpose(0, 2, 1)
    factors = (np.linalg.pinv(turned @ basis) @ (turned @ wanted))[..., 0]  # [O, parts]; 0 where a weight is
    shape = [channels] + [1] * (constant.ndim - 1)
    return [Part(weight, column.astype(np.float32).reshape(shape)) for weight, column in zip(weights, factors.T)]


def _is_close(product: np.ndarray, constant: np.ndarray, parts: Sequence[Part]) -> bool:
    magnitude = sum_of([Part(np.abs(part.weight), np.abs(part.factors)) for part in parts])
    return bool((np.abs(product - constant) <= ULPS * np.spacing(magnitude)).all())


def _computed(name: str, parts: Sequence[Part]) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """The nodes that compute the constant called `name` of its parts, and what they read."""
    nodes: list[onnx.NodeProto] = []
    constants: list[TensorProto] = []

    def stored(what: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, f"{name}.{what}"))
        return constants[-1].name

    def computed(operator: str, *inputs: str, **attributes: int) -> str:
        output = f"{name}.{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], f"weights/{output}", **attributes))
        return output

    terms = []
    for i, (weight, factors) in enumerate(parts):
        term = computed("Cast", stored(f"half{i}", weight.astype(np.float16)), to=TensorProto.FLOAT)
        if (factors != 1).any():
            term = computed("Mul", term, stored(f"factors{i}", factors))
        if weight.shape != parts[0].weight.shape:
            term = computed("Pad", term, stored(f"pads{i}", np.array(_pads(weight, parts[0].weight.shape)).T.ravel()))
        terms.append(term)
    if len(terms) > 1:
        computed("Add", *terms)
    nodes[-1].output[0] = name
    return nodes, constants


def _is_half(weight: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool((weight.astype(np.float16).astype(np.float32) == weight).all())


def _pads(weight: np.ndarray, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """How much to put before and behind each axis, the weight in the middle."""
    return [((wanted - there) // 2, (wanted - there) // 2) for wanted, there in zip(shape, weight.shape)]


def _padded(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(weight, _pads(weight, shape))


def _replace(field: Any, values: list[Any]) -> None:
    """Put other messages into a repeated field of protobuf."""
    kept = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(kept)
