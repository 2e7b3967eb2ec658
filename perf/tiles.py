"""What `tiles=` finds of small faces in large photos and what it costs, beside a larger `img_size`.

python -m perf.tiles --images DIR --annotations JSON [--detector NAME ...] [--output DIR]

The photos are yours: COCO's format, as training takes it. They are put side by side into large ones, see
`perf.mosaics`, and sent by a lone caller to a server that has all CPUs. The report goes to output/tiles/report.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from perf import photo_command, resources
from perf.accuracy.figures import Figures, figures_of
from perf.machine import describe_machine
from perf.mosaics import write_mosaics
from perf.summary import table
from training.coco_dataset import for_labels, load_split
from training.coco_format import CocoSplit
from training.dataset_problems import DatasetError
from training.evaluation.detect import DetectError
from training.evaluation.evaluate import EvaluateError, detect_all
from training.evaluation.served import Served
from training.paths import MODEL_REPOSITORY
from tritonface_server.endpoints import Endpoints
from tritonface_server.errors import CommandError
from tritonface_server.repository import detector_names, read_detector
from tritonface_server.server import TritonServer, undrained
from tritonface_server.tiles import frames_of

SIZES_PX = {(2000, 1333): (1280, 2048), (4000, 2667): (1280, 2048)}
"""Sizes of photos, and those of the network's input that they are tried with beside the detector's own."""
TILES_PX = {(2000, 1333): (1000, 640, 480), (4000, 2667): (1334, 1000, 800)}
SMALL = ("under 12", "12-20")
FAILURES = (DatasetError, DetectError, EvaluateError, CommandError, OSError)
LOG = logging.getLogger("perf.tiles")


@dataclass(frozen=True)
class Way:
    """How photos of one size are looked at.

    Attributes:
        label: for people.
        pictures: how many the network sees of a photo.
    """

    label: str
    size_px: int | None
    tile_px: int | None
    pictures: int


def ways(photo_wh: tuple[int, int], own_px: int) -> Iterator[Way]:
    """Those that are compared for photos of this size, by a detector whose own input has sides of `own_px`."""
    yield Way(f"{own_px}x{own_px}", None, None, 1)
    for size_px in SIZES_PX[photo_wh]:
        yield Way(f"`img_size={size_px}`", size_px, None, 1)
    for tile_px in TILES_PX[photo_wh]:
        yield Way(f"`tiles={tile_px}`", None, tile_px, len(frames_of(photo_wh, (tile_px, tile_px))))


def measure(server: TritonServer, name: str, way: Way, split: CocoSplit, folder: Path) -> tuple[Figures, float, float]:
    """What is found, the median of the milliseconds a photo takes, and how many cores are busy meanwhile."""
    sizes = ((side_px, side_px) if side_px else None for side_px in (way.size_px, way.tile_px))
    with Served(server.endpoints.grpc, name, *sizes) as detect:
        detect(folder / split.images[0].file_name)  # the network is loaded, and has memory for pictures of this size
        detections, times_ms = {}, []

        def work() -> None:
            found, times = detect_all(detect, split, folder)
            detections.update(found)
            times_ms.extend(times)

        used = resources.during(server.process.pid, len(split.images), work)
    figures = figures_of(split, detections, read_detector(MODEL_REPOSITORY, name).score_threshold)
    LOG.info("%s, %s: AP50 %.3f, %.0f ms", name, way.label, figures.ap50, statistics.median(times_ms))
    return figures, statistics.median(times_ms), used["cores_busy"]


def run(options: argparse.Namespace) -> Path:
    """Measure and write the report; its path."""
    split = for_labels(load_split(options.annotations, options.images), ("face",))
    names = options.detector or detector_names(MODEL_REPOSITORY)
    machine, lines, raw = describe_machine(), [], []
    with tempfile.TemporaryDirectory(prefix="tritonface-tiles-") as temporary:
        folder = Path(temporary)
        started = TritonServer(MODEL_REPOSITORY, Endpoints.free(), log=folder / "log", detectors=names)
        with undrained(started) as server:
            for photo_wh in SIZES_PX:
                photos = write_mosaics(split, options.images, *photo_wh, folder)
                rows = []
                for name in names:
                    for way in ways(photo_wh, read_detector(MODEL_REPOSITORY, name).input_size_wh[0]):
                        figures, time_ms, cores = measure(server, name, way, photos, folder)
                        rows.append(
                            [name, way.label, str(way.pictures), *_row(figures), f"{time_ms:.0f}", f"{cores:.1f}"]
                        )
                        raw.append(
                            {"detector": name, "photo_wh": photo_wh, **asdict(way), "ms": time_ms, "cores": cores}
                        )
                        raw[-1] |= {"figures": asdict(figures)}
                faces = sum(int((~image.ignored).sum()) for image in photos.images)
                lines += ["", f"## {len(photos.images)} photos of {photo_wh[0]}x{photo_wh[1]}, {faces} faces", ""]
                lines += table(TITLES, rows)
    options.output.mkdir(parents=True, exist_ok=True)
    head = f"{machine['date']}, commit {machine['commit']}, {machine['processor']}, {machine['cores']} cores."
    report = options.output / "report.md"
    report.write_text("\n".join(["# Tiles", "", head, *lines]) + "\n")
    (options.output / "report.json").write_text(json.dumps({"machine": machine, "rows": raw}, indent=1) + "\n")
    return report


TITLES = ["detector", "", "pictures", "AP", "AP50", "precision", "recall", "under 12 px", "12-20", "ms", "cores busy"]


def _row(figures: Figures) -> list[str]:
    shares = [figures.ap, figures.ap50, *figures.at[figures.threshold], *map(figures.recall_by_size.get, SMALL)]
    return ["-" if share is None else f"{share:.3f}".removeprefix("0") for share in shares]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = photo_command.photo_parser("perf.tiles", __doc__.splitlines()[0], Path("output", "tiles"))
    options = parser.parse_args(arguments)
    return photo_command.report(lambda: run(options), LOG, FAILURES)


if __name__ == "__main__":
    sys.exit(main())
