"""An exported folder, `model.onnx` and `inference.yml`, by the server's rules; a test compares both copies of them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonface._errors import InvalidArgumentError
from tritonface._limits import MAX_NETWORK_SIDE_PX, MIN_NETWORK_SIDE_PX

NETWORK, SETTINGS = "model.onnx", "inference.yml"
INTERPOLATION_NUMBERS = {"linear": 1, "cubic": 2}
DEFAULT_THRESHOLD, DEFAULT_SIZE_MULTIPLE = 0.5, 32
EXPORT_ANEW = "export the weights anew with `python training/main.py -c CONFIG -o Global.mode=export`"


@dataclass(frozen=True)
class Export:
    """A folder made by `training/main.py -o Global.mode=export`.

    Attributes:
        network: the contents of model.onnx.
        input_size_wh: what its Resize step stretches images to, width and height in pixels.
        size_multiple: other sizes must be multiples of this.
        interpolation: how they are stretched, "linear" or "cubic".
        nms: "score_threshold", "iou_threshold", "top_k", "keep_top_k".
        labels: class names by class id.
        threshold: boxes with a score <= it are dropped.
    """

    folder: Path
    model_name: str
    network: bytes
    input_size_wh: tuple[int, int]
    size_multiple: int
    interpolation: str
    nms: dict[str, float]
    labels: list[str]
    threshold: float

    @property
    def served_name(self) -> str:
        """The name under which the network is published: it changes when the network does."""
        return f"{self.model_name}_{hashlib.sha256(self.network).hexdigest()[:8]}"


def read_export(folder: str | os.PathLike[str], model_name: str) -> Export:
    """Read an export and check it against the name it is meant to have.

    Raises:
        InvalidArgumentError: a file is missing, unreadable, or is another model's.
    """
    path = Path(folder)
    for file_name in (NETWORK, SETTINGS):
        if not (path / file_name).is_file():
            raise InvalidArgumentError(f"{path} has no {file_name}; {EXPORT_ANEW}")
    settings = _read_settings(path / SETTINGS)
    try:
        export = _parse(settings, path, (path / NETWORK).read_bytes())
    except ValueError as error:
        raise InvalidArgumentError(f"{path / SETTINGS}: {error}") from error
    if export.model_name != model_name:
        raise InvalidArgumentError(
            f"model_dir {str(path)!r} is an export of {export.model_name!r}, not of {model_name!r}; pass "
            f"model_name={export.model_name!r}"
        )
    return export


def _read_settings(file: Path) -> object:
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidArgumentError(f"{file}: {' '.join(str(error).split())}") from error


def _parse(content: object, folder: Path, network: bytes) -> Export:
    settings = _Section("", content)
    resize = _resize_step(settings)
    multiple = settings.count("size_multiple", DEFAULT_SIZE_MULTIPLE)
    size_wh = _size_wh(resize, multiple)
    nms = settings.section("NMS")
    return Export(
        folder=folder,
        model_name=settings.section("Global").text("model_name"),
        network=network,
        input_size_wh=size_wh,
        size_multiple=multiple,
        interpolation=_interpolation(resize),
        nms={
            "score_threshold": nms.fraction("score_threshold"),
            "iou_threshold": nms.fraction("nms_threshold"),
            "top_k": nms.count("nms_top_k"),
            "keep_top_k": nms.count("keep_top_k"),
        },
        labels=_labels(settings),
        threshold=settings.fraction("draw_threshold", DEFAULT_THRESHOLD),
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
    sides = resize.value("target_size")
    if not (isinstance(sides, list) and len(sides) == 2 and all(map(_is_count, sides))):
        raise ValueError(f"{resize.name('target_size')} is {sides!r}; expected [height, width] in pixels")
    height, width = sides
    if not all(MIN_NETWORK_SIDE_PX <= side <= MAX_NETWORK_SIDE_PX and side % multiple == 0 for side in sides):
        raise ValueError(
            f"{resize.name('target_size')}: img_size is {width}x{height} (width x height); this detector takes sides "
            f"from {MIN_NETWORK_SIDE_PX} to {MAX_NETWORK_SIDE_PX} px"
            + (f" that are multiples of {multiple}" if multiple > 1 else "")
        )
    return width, height


def _interpolation(resize: _Section) -> str:
    number = resize.value("interp", INTERPOLATION_NUMBERS["cubic"])  # PaddleX's default
    for name, known in INTERPOLATION_NUMBERS.items():
        if number == known and _is_count(number):
            return name
    known_ones = ", ".join(f"{known} ({name})" for name, known in INTERPOLATION_NUMBERS.items())
    raise ValueError(f"{resize.name('interp')} is {number!r}; those that can be served are {known_ones}")


def _labels(settings: _Section) -> list[str]:
    labels = settings.value("label_list")
    is_list = isinstance(labels, list) and len(labels) > 0
    if not is_list or not all(type(label) in (str, int) and label != "" for label in labels):
        raise ValueError(f"label_list is {labels!r}; expected a list of names, such as [face]")
    return [str(label) for label in labels]
