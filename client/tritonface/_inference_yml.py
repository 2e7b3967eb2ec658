"""PaddleX's `inference.yml` beside an exported network: the one place that knows what it says.

    Global:
      model_name: BlazeFace
    Preprocess:
    - {type: Resize, target_size: [640, 640], keep_ratio: false, interp: 2}
    - ...                                # what follows is part of the network in model.onnx
    NMS: {score_threshold: 0.01, nms_threshold: 0.3, nms_top_k: 5000, keep_top_k: 750}
    label_list: [face]
    draw_threshold: 0.5                  # 0.5 if it is absent
    size_multiple: 32                    # ours: sides of other sizes must be multiples; 32 if it is absent

The section NMS is PaddleDetection's. PaddleX itself needs none: suppression is part of the graph that it runs. Server
and SDK read the file by the same rules: each of the two distributions holds this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INTERPOLATION_NUMBERS = {"linear": 1, "cubic": 2}
DEFAULT_THRESHOLD, DEFAULT_SIZE_MULTIPLE = 0.5, 32
EXPORT_ANEW = "export the weights anew with `python training/main.py -c CONFIG -o Global.mode=export`"


@dataclass(frozen=True)
class Settings:
    """What the file says.

    Attributes:
        input_size_wh: pixels a picture is stretched to, (width, height).
        size_multiple: width and height of the network's input must be multiples of this.
        interpolation: how it is stretched, "linear" or "cubic".
        nms_score_threshold, iou_threshold, top_k, keep_top_k: of non-maximum suppression.
        labels: class names by class id.
        score_threshold: detections with a score <= this are dropped.
    """

    model_name: str
    input_size_wh: tuple[int, int]
    size_multiple: int
    interpolation: str
    nms_score_threshold: float
    iou_threshold: float
    top_k: int
    keep_top_k: int
    labels: tuple[str, ...]
    score_threshold: float


def parse_settings(text: str) -> Settings:
    """What the text of an inference.yml says; ValueError, in one line, if that is of no use."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    settings = _Section("", content)
    resize, nms = _resize_step(settings), settings.section("NMS")
    multiple = settings.count("size_multiple", DEFAULT_SIZE_MULTIPLE)
    return Settings(
        model_name=settings.section("Global").text("model_name"),
        input_size_wh=_size_wh(resize, multiple),
        size_multiple=multiple,
        interpolation=_interpolation(resize),
        nms_score_threshold=nms.fraction("score_threshold"),
        iou_threshold=nms.fraction("nms_threshold"),
        top_k=nms.count("nms_top_k"),
        keep_top_k=nms.count("keep_top_k"),
        labels=_labels(settings),
        score_threshold=settings.fraction("draw_threshold", DEFAULT_THRESHOLD),
    )


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
        return int(found)


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


def _size_wh(resize: _Section, multiple: int) -> tuple[int, int]:
    name, sides = resize.name("target_size"), resize.value("target_size")
    if not isinstance(sides, list) or len(sides) != 2 or not all(map(_is_count, sides)):
        raise ValueError(f"{name} is {sides!r}; expected [height, width] in pixels")
    height, width = sides
    if height % multiple or width % multiple:
        raise ValueError(
            f"{name} is {width}x{height} (width x height); expected multiples of {multiple}, its size_multiple"
        )
    return width, height


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
