"""The list of detectors; each is described, with all its parts, in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.detectors.blazeface import BLAZE_FACE, BLAZE_FACE_FPN_SSH
from training.detectors.description import DetectorDescription
from training.detectors.picodet import PICODET
from training.detectors.ppyoloe import PP_YOLOE

if TYPE_CHECKING:  # Paddle takes seconds to import, and a list of names must not
    from paddle import nn

DETECTORS: dict[str, DetectorDescription] = {
    detector.name: detector
    for detector in (
        BLAZE_FACE,
        BLAZE_FACE_FPN_SSH,
        PICODET,
        PP_YOLOE,
    )
}


def get_detector(name: str) -> DetectorDescription:
    """The description of the detector called `name`; ValueError naming the known ones otherwise."""
    try:
        return DETECTORS[name]
    except KeyError:
        raise ValueError(f"unknown detector {name!r}; known are: {', '.join(DETECTORS)}") from None


def build_detector(name: str) -> nn.Layer:
    """A freshly initialised network of a detector, see `training.networks`; ValueError for an unknown name."""
    return get_detector(name).build_network()
