"""An exported folder, `model.onnx` and `inference.yml`: the one place that knows what these files say.

`inference.yml` is PaddleX's, which PaddleX loads too:

    Global:
      model_name: BlazeFace
    Preprocess:
    - {type: Resize, target_size: [640, 640], keep_ratio: false, interp: 2}
    - ...                                # what follows is part of the network in model.onnx
    NMS: {score_threshold: 0.01, nms_threshold: 0.3, nms_top_k: 5000, keep_top_k: 750}
    label_list: [face]
    draw_threshold: 0.5                  # 0.5 if it is absent
    size_multiple: 32                    # ours: sides of other sizes must be multiples; 32 if it is absent

The section NMS is PaddleDetection's. PaddleX itself needs none: suppression is part of the graph that it runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tritonface_server.detector import Detector, NmsSettings
from tritonface_server.errors import CommandError
from tritonface_server.images import SizeError, check_network_size

INPUT_NAME, OUTPUT_NAMES = "picture", ("boxes", "scores")
"""The network's: uint8 [N, H, W, 3] BGR to boxes float32 [N, A, 4] xyxy in its pixels and scores float32 [N, A]."""
NETWORK, SETTINGS = "model.onnx", "inference.yml"
QUANTISED = ("model.xml", "model.bin")
"""An INT8 network beside model.onnx, if there is one: it serves the high-performance variant on CPUs."""
INTERPOLATION_NUMBERS = {"linear": 1, "cubic": 2}
NETWORK_STEP = "_detector"  # what the name of the network's model in a repository ends with
DEFAULT_THRESHOLD, DEFAULT_SIZE_MULTIPLE = 0.5, 32
EXPORT_ANEW = "export the weights anew with `python training/main.py -c CONFIG -o Global.mode=export`"


class ExportFolderError(CommandError):
    """A folder that is no export or says something that cannot be served; the message says what and where."""


def exported_folder(repository: Path, name: str) -> Path:
    """Where a model repository keeps the exported folder of a detector: the one version of its network."""
    return repository / f"{name}{NETWORK_STEP}" / "1"


def read_folder(folder: Path) -> Detector:
    """The facts of an exported folder, whose network must be there too.

    Raises:
        ExportFolderError: a file is missing or unreadable, or one of its values cannot be served.
    """
    for file_name in (NETWORK, SETTINGS):
        if not (folder / file_name).is_file():
            raise ExportFolderError(f"{folder} has no {file_name}; {EXPORT_ANEW}")
    try:
        return parse_settings((folder / SETTINGS).read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportFolderError(f"{folder / SETTINGS} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ExportFolderError(f"{folder / SETTINGS}: {' '.join(str(error).split())}") from error


def parse_settings(text: str) -> Detector:
    """The facts in the text of an inference.yml; ValueError or yaml.YAMLError if they cannot be served."""
    settings = _Section("", yaml.safe_load(text))
    resize = _resize_step(settings)
    height_width = resize.value("target_size")
    if not (isinstance(height_width, list) and len(height_width) == 2 and all(map(_is_count, height_width))):
        raise ValueError(f"{resize.name('target_size')} is {height_width!r}; expected [height, width] in pixels")
    size_wh = (height_width[1], height_width[0])
    multiple = settings.count("size_multiple", DEFAULT_SIZE_MULTIPLE)
    try:
        check_network_size(size_wh, multiple)
    except SizeError as error:
        raise ValueError(f"{resize.name('target_size')}: {error}") from None
    nms = settings.section("NMS")
    return Detector(
        name=settings.section("Global").text("model_name"),
        input_size_wh=size_wh,
        size_multiple=multiple,
        interpolation=_interpolation(resize),
        nms=NmsSettings(
            score_threshold=nms.fraction("score_threshold"),
            iou_threshold=nms.fraction("nms_threshold"),
            top_k=nms.count("nms_top_k"),
            keep_top_k=nms.count("keep_top_k"),
        ),
        labels=_labels(settings),
        score_threshold=settings.fraction("draw_threshold", DEFAULT_THRESHOLD),
    )


def settings_text(
    detector: Detector, *, mean_rgb: tuple[float, ...], std_rgb: tuple[float, ...], architecture: str
) -> str:
    """The inference.yml of a detector, from which `parse_settings` reads the same facts.

    Args:
        mean_rgb, std_rgb: PaddleX feeds its graph with `(rgb - mean) / std`, rgb in 0..255; model.onnx does it itself.
        architecture: PaddleX's name for the kind of network.
    """
    width, height = detector.input_size_wh
    resize = {
        "type": "Resize",
        "target_size": [height, width],
        "keep_ratio": False,
        "interp": INTERPOLATION_NUMBERS[detector.interpolation],
    }
    normalise = {
        "type": "NormalizeImage",
        "norm_type": "mean_std",
        "is_scale": False,  # mean and standard deviation count in 0..255
        "mean": list(mean_rgb),
        "std": list(std_rgb),
    }
    settings = {
        "mode": "paddle",
        "draw_threshold": detector.score_threshold,
        "metric": "COCO",
        "use_dynamic_shape": False,
        "arch": architecture,
        "min_subgraph_size": 3,
        "Global": {"model_name": detector.name},
        "Preprocess": [resize, normalise, {"type": "Permute"}],
        "NMS": {
            "name": "MultiClassNMS",
            "score_threshold": detector.nms.score_threshold,
            "nms_threshold": detector.nms.iou_threshold,
            "nms_top_k": detector.nms.top_k,
            "keep_top_k": detector.nms.keep_top_k,
        },
        "size_multiple": detector.size_multiple,
        "label_list": list(detector.labels),
    }
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


class _Section:
    """A mapping of the file whose values are wanted with their full names in messages."""

    def __init__(self, name: str, content: object) -> None:
        if not isinstance(content, Mapping):
            raise ValueError(f"{name or 'the file'} is {content!r}, not a mapping of settings")
        self.own_name, self.content = name, content

    def name(self, key: str) -> str:
        return f"{self.own_name}.{key}" if self.own_name else key

    def value(self, key: str, default: Any = None) -> Any:
        found = self.content.get(key)
        if found is None and default is None:
            raise ValueError(f"{self.name(key)} is missing; {EXPORT_ANEW}")
        return default if found is None else found

    def section(self, key: str) -> _Section:
        return _Section(self.name(key), self.value(key))

    def text(self, key: str) -> str:
        found = self.value(key)
        if not isinstance(found, str) or not found:
            raise ValueError(f"{self.name(key)} is {found!r}; expected a name")
        return found

    def fraction(self, key: str, default: float | None = None) -> float:
        found = self.value(key, default)
        is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
        if not is_number or not math.isfinite(found) or not 0 <= found <= 1:
            raise ValueError(f"{self.name(key)} is {found!r}; expected a number from 0 to 1")
        return float(found)

    def count(self, key: str, default: int | None = None) -> int:
        found = self.value(key, default)
        if not _is_count(found):
            raise ValueError(f"{self.name(key)} is {found!r}; expected a whole number from 1 on")
        return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _resize_step(settings: _Section) -> _Section:
    steps = settings.value("Preprocess")
    is_list = isinstance(steps, list)
    found = [step for step in steps if isinstance(step, Mapping) and step.get("type") == "Resize"] if is_list else []
    if len(found) != 1:
        raise ValueError(f"Preprocess is {steps!r}; expected a list with one step of the type Resize")
    (resize,) = found
    if resize.get("keep_ratio"):
        raise ValueError("Preprocess.Resize.keep_ratio is true, but pictures are stretched here; set it to false")
    return _Section("Preprocess.Resize", resize)


def _interpolation(resize: _Section) -> str:
    number = resize.value("interp", INTERPOLATION_NUMBERS["cubic"])  # PaddleX's default
    for name, known in INTERPOLATION_NUMBERS.items():
        if number == known and _is_count(number):
            return name
    known_ones = ", ".join(f"{known} ({name})" for name, known in INTERPOLATION_NUMBERS.items())
    raise ValueError(f"{resize.name('interp')} is {number!r}; those that can be served are {known_ones}")


def _labels(settings: _Section) -> tuple[str, ...]:
    labels = settings.value("label_list")
    is_list = isinstance(labels, list) and len(labels) > 0
    if not is_list or not all(type(label) in (str, int) and label != "" for label in labels):
        raise ValueError(f"label_list is {labels!r}; expected a list of names, such as [face]")
    return tuple(str(label) for label in labels)
