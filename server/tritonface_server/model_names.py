"""The names of the models that serve a detector, and the detectors that a repository holds."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from tritonface_server.detector import Detector
from tritonface_server.errors import CommandError

SETTINGS = "inference.yml"
NETWORK_STEP, PREPROCESS_STEP = "_detector", "_preprocess"
"""What the names of a detector's network and of what decodes for it end with."""
POSTPROCESS_STEP = "_postprocess"
WHOLE = "_whole"
"""In the name of what decodes: large JPEGs too are decoded in their own size."""
STEPS = (PREPROCESS_STEP, NETWORK_STEP, POSTPROCESS_STEP)
VARIANTS = ("", "_hpi")


def model_names(detector_name: str) -> list[str]:
    """The models that serve this detector and no other: its steps, the ensembles last."""
    suffixes = (POSTPROCESS_STEP, NETWORK_STEP, f"_hpi{NETWORK_STEP}", *VARIANTS)
    return [detector_name + suffix for suffix in suffixes]


def preprocess_name(detector: Detector) -> str:
    """The first step of all detectors that see the same pictures; all that it has to know stands in its name."""
    width, height = detector.input_size_wh
    multiple = f"_by{detector.size_multiple}" if detector.size_multiple > 1 else ""
    whole = "" if detector.scaled_decoding else WHOLE
    return f"{width}x{height}{multiple}_{detector.interpolation}{whole}{PREPROCESS_STEP}"


def scales(preprocess: str) -> bool:
    """Whether the model of this name decodes large JPEGs at a fraction of their size."""
    return not preprocess.endswith(WHOLE + PREPROCESS_STEP)


def detector_names(repository: Path) -> list[str]:
    """The detectors that a repository holds, sorted."""
    found = repository.glob(f"*{NETWORK_STEP}/1/{SETTINGS}")
    return sorted(file.parent.parent.name.removesuffix(NETWORK_STEP) for file in found)


def check_detectors(names: Iterable[str], repository: Path) -> None:
    """CommandError unless the repository holds all of these detectors."""
    check_known(names, detector_names(repository), str(repository))


def check_known(names: Iterable[str], known: list[str], where: str) -> None:
    """CommandError unless all of the names are among the detectors that are known there."""
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=2, cutoff=0.5)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
            all_known = ", ".join(known) or "none"
            raise CommandError(f"there is no detector {name!r} in {where}{meant} its detectors are: {all_known}")
