"""The detectors of the project's own model repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from training.paths import MODEL_REPOSITORY, shipped_network
from tritonface_server.detector import Detector
from tritonface_server.model_names import detector_names
from tritonface_server.repository import read_detector
from tritonface_server.served_models import models_of

SHIPPED = detector_names(MODEL_REPOSITORY)


def shipped(name: str = "BlazeFace") -> Detector:
    """The facts of a detector, as its folder states them."""
    return read_detector(MODEL_REPOSITORY, name)


def network_file(name: str = "BlazeFace") -> Path:
    """Its exported network."""
    return shipped_network(name)


def copy_detectors(folder: Path, *names: str) -> Path:
    """A repository of these detectors alone, to be served or changed."""
    for model in models_of(MODEL_REPOSITORY, names):
        shutil.copytree(MODEL_REPOSITORY / model, folder / model, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def copy_one_detector(folder: Path) -> Path:
    """A repository of BlazeFace alone, the smallest."""
    return copy_detectors(folder, "BlazeFace")
