"""Detector weights as safetensors files, names and shapes checked."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from paddle import nn
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

LOG = logging.getLogger(__name__)


class WeightsError(ValueError):
    """A weights file that is missing, damaged or made for another network."""


def load_weights(detector: nn.Layer, path: Path) -> None:
    """Fill a detector from a safetensors file; the names and shapes must be exactly its own. Float16 is widened.

    Raises:
        WeightsError: naming the first tensors that are missing, unexpected, mis-shaped, mis-typed or not finite.
    """
    set_weights(detector, read_safetensors(path))


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """`{state-dict name: array}`, float16 widened; WeightsError if the file is missing or damaged."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read weights from {path}: {error}") from error
    half = {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.float16}
    return tensors | {name: tensor.astype(np.float32) for name, tensor in half.items()}


def set_weights(detector: nn.Layer, tensors: dict[str, np.ndarray]) -> None:
    """Fill a detector from `{state-dict name: array}`; see `load_weights`."""
    wanted = {name: tuple(parameter.shape) for name, parameter in detector.state_dict().items()}
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "unexpected": [name for name in tensors if name not in wanted],
        "mis-shaped": [
            f"{name} {tensors[name].shape} instead of {shape}"
            for name, shape in wanted.items()
            if name in tensors and tensors[name].shape != shape
        ],
        "mis-typed": [
            f"{name} {tensors[name].dtype} instead of float32"
            for name in wanted
            if name in tensors and tensors[name].dtype != np.float32
        ],
        "not finite": [name for name in wanted if name in tensors and not np.isfinite(tensors[name]).all()],
    }
    if any(problems.values()):
        raise WeightsError(
            "the weights do not fit the detector: "
            + "; ".join(f"{len(names)} {kind} ({', '.join(names[:3])})" for kind, names in problems.items() if names)
        )
    detector.set_state_dict(tensors)


def with_more_classes(tensors: dict[str, np.ndarray], detector: nn.Layer, one_class: nn.Layer) -> dict[str, np.ndarray]:
    """Weights of one class for a detector of several: the head's outputs for classes are made anew, and that is logged.

    Args:
        tensors: of a network of one class, or of another one, which then are given back as they are.
        detector: freshly initialised, of several classes.
        one_class: the same network for one class. What differs from it in shape depends on the number of classes.
    """
    fresh = {name: parameter.numpy() for name, parameter in detector.state_dict().items()}
    shapes = {name: tuple(parameter.shape) for name, parameter in one_class.state_dict().items()}
    of_classes = [name for name, array in fresh.items() if array.shape != shapes[name]]
    if any(name not in tensors or tensors[name].shape != shapes[name] for name in of_classes):
        return tensors
    kept_rows = getattr(detector, "rows_for_boxes", 0)  # the last ones, where classes and boxes share a convolution
    made = {name: fresh[name].copy() for name in of_classes}
    for name in of_classes if kept_rows else ():
        made[name][-kept_rows:] = tensors[name][-kept_rows:]
    LOG.info("the weights are of one class: the head for several begins anew (%s)", ", ".join(of_classes))
    return tensors | made


def save_weights(detector: nn.Layer, path: Path) -> None:
    """Write a detector's state dict as a safetensors file."""
    save_file({name: parameter.numpy() for name, parameter in detector.state_dict().items()}, path)
