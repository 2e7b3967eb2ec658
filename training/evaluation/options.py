"""Options with which a command line says what is to detect."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.detectors import DETECTORS
from training.evaluation.detect import InProcess, Served, open_detect
from training.paths import shipped_weights


def add_detect_options(parser: argparse.ArgumentParser) -> None:
    """Add --detector, what it is loaded from, and the size of the network's input."""
    parser.add_argument("--detector", choices=DETECTORS, required=True)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--weights", type=Path, metavar="FILE", help=".safetensors or .pdparams (default: the shipped)")
    source.add_argument("--onnx", type=Path, metavar="FILE", help="an exported network")
    source.add_argument("--url", metavar="HOST:PORT", help="a Triton server's gRPC address")
    parser.add_argument("--model", metavar="NAME", help="its model (default: the detector's)")
    parser.add_argument("--img-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="the network's input")


def open_from_options(arguments: argparse.Namespace) -> InProcess | Served:
    """What the options of `add_detect_options` describe; raises as `open_detect` does."""
    if arguments.model and not arguments.url:
        raise ValueError("--model is a model of a server; give its --url too")
    weights = arguments.onnx or arguments.weights or (None if arguments.url else shipped_weights(arguments.detector))
    return open_detect(
        arguments.detector,
        weights=weights,
        served_url=arguments.url,
        served_model=arguments.model,
        size_wh=tuple(arguments.img_size) if arguments.img_size else None,
    )
