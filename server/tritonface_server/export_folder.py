"""An exported folder, `model.onnx` and `inference.yml`: what a detector is served from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from tritonface_server.detector import Detector, NmsSettings
from tritonface_server.errors import CommandError
from tritonface_server.images import SizeError, check_network_size
from tritonface_server.inference_yml import EXPORT_ANEW, INTERPOLATION_NUMBERS, parse_settings
from tritonface_server.model_names import NETWORK_STEP
from tritonface_server.model_names import SETTINGS as SETTINGS

INPUT_NAME, OUTPUT_NAMES = "picture", ("boxes", "scores")
"""The network's: uint8 [N, H, W, 3] BGR to boxes float32 [N, A, 4] xyxy in its pixels and scores float32 [N, A * C].

Of C classes, in the order of the labels, those of one box side by side: so the scores of one class are [N, A], and no
configuration depends on how many there are."""
NETWORK = "model.onnx"
QUANTISED = ("model.xml", "model.bin")
"""An INT8 network beside model.onnx, if there is one: it serves the high-performance variant on CPUs."""
ACCURACY, NETWORK_SHA256 = "accuracy.json", "network_sha256"
"""How good the network beside it is, if a training says it: a JSON object, and which network it speaks of."""


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
        stated = parse_settings((folder / SETTINGS).read_text(encoding="utf-8"))
        check_network_size(stated.input_size_wh, stated.size_multiple)
    except OSError as error:
        raise ExportFolderError(f"{folder / SETTINGS} cannot be read: {error.strerror}") from error
    except SizeError as error:
        raise ExportFolderError(f"{folder / SETTINGS}: Preprocess.Resize.target_size: {error}") from error
    except ValueError as error:
        raise ExportFolderError(f"{folder / SETTINGS}: {error}") from error
    return Detector(
        name=stated.model_name,
        input_size_wh=stated.input_size_wh,
        size_multiple=stated.size_multiple,
        interpolation=stated.interpolation,
        nms=NmsSettings(stated.nms_score_threshold, stated.iou_threshold, stated.top_k, stated.keep_top_k),
        labels=stated.labels,
        score_threshold=stated.score_threshold,
    )


def read_accuracy(folder: Path) -> dict[str, Any] | None:
    """What a training says of how good an exported network is; None if it says nothing.

    Raises:
        ExportFolderError: the file is damaged, or speaks of another network.
    """
    file, remedy = folder / ACCURACY, "export the weights anew, or remove the file, which nothing is served from"
    if not file.is_file():
        return None
    try:
        stated = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ExportFolderError(f"{file} cannot be read as JSON: {error}; {remedy}") from error
    if not isinstance(stated, dict):
        raise ExportFolderError(f"{file} is no JSON object; {remedy}")
    if stated.get(NETWORK_SHA256) != sha256_of(folder / NETWORK):
        raise ExportFolderError(f"{file} does not speak of the {NETWORK} beside it; {remedy}")
    return stated


def sha256_of(file: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def settings_text(
    detector: Detector, *, mean_rgb: tuple[float, ...], std_rgb: tuple[float, ...], architecture: str
) -> str:
    """The inference.yml of a detector, from which `read_folder` reads the same facts.

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
