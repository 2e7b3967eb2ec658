"""The list of detectors; each is described, with all its parts, in a file of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from training.detectors.description import DetectorDescription

if TYPE_CHECKING:  # Paddle takes seconds to import, and a list of names must not
    from paddle import nn

FILES = (
    "blazeface",
    "picodet",
    "ppyoloe",
)
"""The modules of this folder that describe detectors; each names its own in `DETECTORS`."""

DETECTORS: dict[str, DetectorDescription] = {
    detector.name: detector for file in FILES for detector in import_module(f"{__name__}.{file}").DETECTORS
}


def get_detector(name: str) -> DetectorDescription:
    """The description of the detector called `name`; ValueError naming the known ones otherwise."""
    try:
        return DETECTORS[name]
    except KeyError:
        raise ValueError(f"unknown detector {name!r}; known are: {', '.join(DETECTORS)}") from None


def build_detector(name: str, num_classes: int = 1) -> nn.Layer:
    """A freshly initialised network of a detector, see `training.networks`; ValueError for an unknown name."""
    return get_detector(name).build_network(num_classes)
