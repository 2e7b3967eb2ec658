"""How good the detectors are on annotated photos, as they are served, beside OpenCV's YuNet.

python -m perf.accuracy --images DIR --annotations JSON [--detector NAME ...] [--yunet FILE] [--output DIR]

The report goes to output/accuracy/report.md, curves and all figures beside it. The photos are yours: COCO's format, as
training takes it.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from perf import photo_command
from perf.accuracy import report
from perf.accuracy.figures import Figures, figures_of
from perf.peers.yunet import YuNet, YuNetError
from perf.settings import VARIANTS
from training.coco_dataset import CocoSplit, for_labels, load_split
from training.dataset_problems import DatasetError
from training.evaluation.curves import measure_curves
from training.evaluation.detect import Detect, DetectError
from training.evaluation.evaluate import EvaluateError, detect_all
from training.evaluation.served import Served
from training.paths import MODEL_REPOSITORY
from tritonface_server.endpoints import Endpoints
from tritonface_server.errors import CommandError
from tritonface_server.repository import detector_names, read_detector
from tritonface_server.server import TritonServer, undrained

YUNET_SIZES = {"YuNet, 640x640": (640, 640), "YuNet, the photo's size": None}
FAILURES = (DatasetError, DetectError, EvaluateError, YuNetError, CommandError, OSError)
LOG = logging.getLogger("perf.accuracy")


def measure_served(
    names: list[str], repository: Path, split: CocoSplit, images: Path, url: str
) -> dict[str, dict[str, Figures]]:
    """By detector and variant, what a server answers."""
    figures: dict[str, dict[str, Figures]] = {}
    for name in names:
        threshold, figures[name] = read_detector(repository, name).score_threshold, {}
        for variant in VARIANTS:
            with Served(url, name if variant == "normal" else f"{name}_{variant}") as detect:
                figures[name][variant] = _measure(detect, split, images, threshold, f"{name}, {variant}")
    return figures


def measure_yunet(file: Path | None, split: CocoSplit, images: Path) -> dict[str, Figures]:
    """By input size; nothing without its file."""
    if file is None:
        return {}
    return {name: _measure(YuNet(file, size_wh), split, images, None, name) for name, size_wh in YUNET_SIZES.items()}


def _measure(detect: Detect, split: CocoSplit, images: Path, threshold: float | None, name: str) -> Figures:
    figures = figures_of(split, detect_all(detect, split, images)[0], threshold)
    LOG.info("%s: AP %.4f, AP50 %.4f", name, figures.ap, figures.ap50)
    return figures


def run(options: argparse.Namespace) -> Path:
    """Measure and write the report; its path."""
    split = for_labels(load_split(options.annotations, options.images), ("face",))
    names = options.detector or detector_names(options.model_repository)
    peers = measure_yunet(options.yunet, split, options.images)
    with (
        tempfile.TemporaryDirectory(prefix="tritonface-accuracy-") as folder,
        undrained(TritonServer(options.model_repository, Endpoints.free(), log=Path(folder, "log"))) as server,
    ):
        url = server.endpoints.grpc
        detectors = measure_served(names, options.model_repository, split, options.images, url)
    sizes = {size.name: size.faces for size in measure_curves(split, {}).sizes}
    source = f"{options.annotations.parent.parent.name}/{options.annotations.name}"
    return report.write(detectors, peers, len(split.images), sizes, source, options.output)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = photo_command.photo_parser("perf.accuracy", __doc__.splitlines()[0], Path("output", "accuracy"))
    parser.add_argument("--yunet", type=Path, metavar="FILE", help="OpenCV's face_detection_yunet_2023mar.onnx")
    parser.add_argument("--model-repository", type=Path, default=MODEL_REPOSITORY, metavar="DIR")
    options = parser.parse_args(arguments)
    return photo_command.report(lambda: run(options), LOG, FAILURES)


if __name__ == "__main__":
    sys.exit(main())
