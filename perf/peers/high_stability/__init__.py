"""A detector as PaddleX's high-stability serving would serve it: one Python model, JSON with base64, one at a time."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tritonface_server.detector import Detector

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 1
input {{ name: "input" data_type: TYPE_STRING dims: 1 }}
output {{ name: "output" data_type: TYPE_STRING dims: 1 }}
instance_group {{ count: 1 kind: KIND_CPU }}
parameters {{ key: "detector" value {{ string_value: "{detector}" }} }}
parameters {{ key: "variant" value {{ string_value: "{variant}" }} }}
parameters {{ key: "threads" value {{ string_value: "{threads}" }} }}
parameters {{ key: "project" value {{ string_value: "{project}" }} }}
"""
PROJECT = Path(__file__).resolve().parents[3]


def model_name(detector: Detector, variant: str) -> str:
    """Name of the model on the server."""
    return f"{detector.name}_{variant}_high_stability"


def write_repository(detectors: list[Detector], variants: tuple[str, ...], threads: int, folder: Path) -> Path:
    """A model repository with one such model for each detector and variant; its one instance has all cores."""
    code = Path(__file__).with_name("model.py").read_text()
    for detector in detectors:
        for variant in variants:
            name = model_name(detector, variant)
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1" / "model.py").write_text(code)
            settings = {"detector": detector.name, "variant": variant, "threads": threads, "project": PROJECT}
            (folder / name / "config.pbtxt").write_text(CONFIG.format(name=name, **settings))
    return folder


def request_body(encoded: bytes) -> bytes:
    """What a client sends: one JSON text with the image in base64."""
    return json.dumps({"image": base64.b64encode(encoded).decode(), "visualize": False}).encode()
