"""What decoding large JPEGs at a fraction of their size costs in AP and saves in time, in one process.

python -m perf.accuracy.scaled --images DIR --annotations JSON [--detector NAME ...] [--photos N] [--output DIR]

The report goes to output/accuracy/scaled.md. Large photos are made of the annotated ones, see
`perf.accuracy.large_photos`.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from perf import photo_command
from perf.accuracy.large_photos import Kind
from perf.bench import use_the_servers_allocator
from perf.machine import describe_machine
from perf.peers.in_process import open_detector
from perf.photos import photo
from perf.summary import table
from training.coco_dataset import CocoImage, CocoSplit, for_labels, load_split
from training.dataset_problems import DatasetError
from training.evaluation.coco import detection_rows, matched, mean_of_annotated
from training.evaluation.detect import LOW_THRESHOLD
from training.paths import MODEL_REPOSITORY
from tritonface_server.detections import Detections
from tritonface_server.detector import Detector
from tritonface_server.images import ImageError, decode_stored, fit, open_image
from tritonface_server.in_process import InProcessDetector
from tritonface_server.repository import detector_names, read_detector

SUBSAMPLING, PROGRESSIVE = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_PROGRESSIVE
HALF, QUARTER = 2 * 640 + 1, 4 * 640 + 1
"""Sides of the smallest photos that are decoded so; one pixel more, so that the last column stands for one alone."""
ENLARGED = Kind("one photo, 12 MP", megapixels=12.0)
CROWDS = Kind("nine photos", columns=3, rows=3)
SMALLEST = replace(CROWDS, size_wh=(QUARTER, QUARTER))
KINDS = (
    ENLARGED,
    replace(CROWDS, name="nine photos, 4000x3000", size_wh=(4000, 3000)),
    replace(CROWDS, name="nine photos, 3000x4000", size_wh=(3000, 4000)),
    Kind("24 photos, 6000x4000", (6000, 4000), columns=6, rows=4),
    replace(CROWDS, name=f"nine photos, {HALF}x{HALF}", size_wh=(HALF, HALF)),
    replace(SMALLEST, name=f"nine photos, {QUARTER}x{QUARTER}"),
    replace(SMALLEST, name="the same, 4:4:4", parameters=(SUBSAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)),
    replace(SMALLEST, name="the same, 4:2:2", parameters=(SUBSAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)),
    replace(SMALLEST, name="the same, progressive", parameters=(PROGRESSIVE, 1)),
    replace(SMALLEST, name="the same, grey", is_grey=True),
)
MOST_DETECTIONS = 1000
"""More than COCO's 100, as many photos beside each other show more faces than that."""
MEGAPIXELS = (1.5, 12.0, 24.0)
ROUNDS = 9
LOG = logging.getLogger("perf.accuracy.scaled")


class Precision(NamedTuple):
    """AP of all IoU thresholds, and at IoU .5."""

    ap: float
    ap50: float


def precision(truth: Sequence[CocoImage], detections: Mapping[int, Detections]) -> Precision:
    """COCO's figures, of up to `MOST_DETECTIONS` in a photo."""
    split = CocoSplit(tuple(truth), ("face",))
    rows = detection_rows(split, detections)
    evaluation = matched(split, rows, maxDets=[MOST_DETECTIONS], areaRng=[[0, 1e10]], areaRngLbl=["all"])
    values = evaluation.eval["precision"][:, :, 0, 0, 0]
    return Precision(mean_of_annotated(values), mean_of_annotated(values[0]))


def measure_kind(
    kind: Kind, images: Sequence[CocoImage], folder: Path, detectors: Sequence[InProcessDetector], most: int
) -> dict[str, tuple[Precision, Precision]]:
    """By detector, decoded whole and as it is served; there must be photos enough for one."""
    truth: list[CocoImage] = []
    found: dict[tuple[str, bool], dict[int, Detections]] = {}
    for encoded, annotated in kind.photos(images, folder, most):
        truth.append(annotated)
        for detector in detectors:
            for scaled in (False, True):
                way = InProcessDetector(
                    replace(detector.facts, scaled_decoding=scaled), detector.network, detector.size_wh
                )
                found.setdefault((detector.facts.name, scaled), {})[annotated.id] = way(encoded, LOW_THRESHOLD)
    return {
        detector.facts.name: (
            precision(truth, found[detector.facts.name, False]),
            precision(truth, found[detector.facts.name, True]),
        )
        for detector in detectors
    }


def times_ms(facts: Detector, megapixels: float) -> tuple[float, float]:
    """Median CPU time of decoding and resizing one photo, whole and as it is served; they take turns."""
    opened, (width, height) = open_image(photo(megapixels)), facts.input_size_wh
    picture = np.empty((height, width, 3), np.uint8)
    ways: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for scaled, times in ways.items():
            before_s = time.process_time()
            stored = decode_stored(opened, facts.input_size_wh if scaled else None)
            fit(stored, opened.header, facts.input_size_wh, facts.interpolation, picture)
            times.append((time.process_time() - before_s) * 1e3)
    return statistics.median(ways[False]), statistics.median(ways[True])


def accuracy_table(figures: Mapping[str, Mapping[str, tuple[Precision, Precision]]]) -> list[str]:
    """By kind of photos and detector."""
    rows = [
        [
            kind,
            name,
            f"{whole.ap:.4f}",
            f"{scaled.ap:.4f}",
            f"{scaled.ap - whole.ap:+.4f}",
            f"{scaled.ap50 - whole.ap50:+.4f}",
        ]
        for kind, by_detector in figures.items()
        for name, (whole, scaled) in by_detector.items()
    ]
    return table(["photos", "detector", "AP, whole", "AP, as served", "difference", "of AP50"], rows)


def time_table(times: Mapping[float, tuple[float, float]]) -> list[str]:
    """By megapixels."""
    rows = [
        [f"{megapixels:g}", f"{whole:.1f}", f"{scaled:.1f}", f"{whole / scaled:.2f} x"]
        for megapixels, (whole, scaled) in times.items()
    ]
    return table(["megapixels", "whole, ms", "as served, ms", "faster by"], rows)


def run(options: argparse.Namespace) -> Path:
    """Measure and write the report; its path."""
    images = for_labels(load_split(options.annotations, options.images), ("face",)).images
    names = options.detector or detector_names(MODEL_REPOSITORY)
    cv2.setNumThreads(1)
    times = {megapixels: times_ms(read_detector(MODEL_REPOSITORY, names[0]), megapixels) for megapixels in MEGAPIXELS}
    detectors = [open_detector(name, "normal", 0) for name in names]
    figures = {}
    for kind in KINDS:
        if len(images) < kind.columns * kind.rows:
            continue
        figures[kind.name] = measure_kind(kind, images, options.images, detectors, options.photos)
        for line in accuracy_table({kind.name: figures[kind.name]})[2:]:
            LOG.info(line)
    machine = describe_machine()
    lines = ["# Decoding large JPEGs at a fraction of their size", ""]
    lines += [f"{machine['date']}, commit {machine['commit']}, {machine['processor']}.", ""]
    lines += [*accuracy_table(figures), "", "CPU time of decoding and resizing:", "", *time_table(times)]
    options.output.mkdir(parents=True, exist_ok=True)
    report: Path = options.output / "scaled.md"
    report.write_text("\n".join(lines) + "\n")
    return report


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = photo_command.photo_parser("perf.accuracy.scaled", __doc__.splitlines()[0], Path("output", "accuracy"))
    parser.add_argument(
        "--photos", type=int, default=30, metavar="N", help="of each kind at most (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    return photo_command.report(lambda: run(options), LOG, (DatasetError, ImageError, OSError))


if __name__ == "__main__":
    use_the_servers_allocator("perf.accuracy.scaled")
    sys.exit(main())
