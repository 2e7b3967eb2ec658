"""An exported folder as people bring it: BlazeFace, 640 wide and 320 high, a label and a threshold of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from serving.detectors import get_detector
from serving.repository import network_file

SETTINGS = {
    "Global": {"model_name": "BlazeFace"},
    "Preprocess": [{"type": "Resize", "target_size": [320, 640], "interp": 2, "keep_ratio": False}],
    "label_list": ["person"],
    "draw_threshold": 0.7,
}


def make_export(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(network_file(get_detector("BlazeFace")), folder / "model.onnx")
    write_settings(folder)
    return folder


def write_settings(folder: Path, **changes: object) -> None:
    """The settings with some changed; None leaves one out."""
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None}
    (folder / "inference.yml").write_text(yaml.safe_dump(settings))
