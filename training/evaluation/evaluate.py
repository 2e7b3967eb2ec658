"""Mode evaluate: how good a detector is on the validation photos of a data set."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from training.coco_dataset import IMAGES, CocoSplit, annotation_file, for_labels, load_split
from training.config import dataset_of
from training.evaluation.coco import evaluate_classes
from training.evaluation.curves import Curves, draw_precision_recall, draw_sizes, measure_curves
from training.evaluation.detect import Detect, DetectError, open_detect
from training.paths import shipped_weights
from tritonface_server.detections import Detections
from tritonface_server.images import ImageError

PRECISION_RECALL, SIZES = "evaluate/precision_recall.png", "evaluate/ap_by_face_size.png"

LOG = logging.getLogger(__name__)


class EvaluateError(ValueError):
    """A data set that cannot be evaluated on; the message is written for its owner."""


def run_evaluate(config: Any) -> dict[str, Any]:
    """Mode evaluate of the command line; see `evaluate` for what it returns and raises.

    Args:
        config: `Global.model`, `.dataset_dir`, `.output`; `Evaluate.weight_path` (.safetensors, .pdparams or .onnx;
            the shipped weights if None), or `.served_url` and `.served_model` for what a server serves (None: in this
            process); `.image_size`, `.log_interval`.
    """
    chosen, name = config.Evaluate, config.Global.model
    dataset = dataset_of(config)
    with open_detect(
        name,
        weights=None if chosen.served_url else Path(chosen.weight_path or shipped_weights(name)),
        served_url=chosen.served_url,
        served_model=chosen.served_model,
        size_wh=(chosen.image_size, chosen.image_size) if chosen.image_size else None,
    ) as detect:
        return evaluate(detect, name, dataset, Path(config.Global.output), chosen.log_interval)


def evaluate(detect: Detect, name: str, dataset: Path, output: Path, log_interval: int = 10) -> dict[str, Any]:
    """Detect the faces of the validation photos, compare them with the annotations, write figures and pictures.

    Args:
        name: of the detector, for the record.
        dataset: a folder with `images/` and `annotations/instance_val.json` (COCO).
        output: the folder that receives `PRECISION_RECALL` and `SIZES`; made if need be.
        log_interval: photos between two lines of the log.

    Returns:
        COCO's figures ("AP", "AP50" ... "AR"; -1 where nothing is annotated), the same for each class ("by_class"),
        "by_face_side_px" (faces and AP50 of each size), the numbers of images and faces, the network's input, and the
        time per photo.

    Raises:
        DatasetError: the data set is not sound, or has other classes than the detector, see `training.coco_dataset`.
        EvaluateError: a photo cannot be read.
        DetectError: the server does not answer, or refuses.
    """
    split = for_labels(load_split(annotation_file(dataset, "val"), dataset / IMAGES), detect.labels)
    detections, times_ms = detect_all(detect, split, dataset / IMAGES, log_interval)
    (figures, by_class), curves = evaluate_classes(split, detections), measure_curves(split, detections)
    width, height = detect.size_wh
    result = {
        "model": name,
        "source": detect.source,
        "image_size": {"width": width, "height": height},
        **figures,
        "by_class": by_class,
        "by_face_side_px": {size.name: {"faces": size.faces, "AP50": size.ap50} for size in curves.sizes},
        "images": curves.images,
        "faces": curves.faces,
        "ignored_faces": curves.ignored_faces,
        "ms_per_image": _time_figures(times_ms),
        "pictures": [PRECISION_RECALL, SIZES],
    }
    _draw(curves, f"{name} ({detect.source}, {width}x{height})", output)
    return result


def detect_all(
    detect: Detect, split: CocoSplit, images: Path, log_interval: int | None = None
) -> tuple[dict[int, Detections], list[float]]:
    """Detections by image id, and milliseconds per photo, from its file to its faces.

    Nothing is logged if `log_interval` is None. Raises as `evaluate` does.
    """
    detections, times_ms = {}, []
    for number, image in enumerate(split.images, start=1):
        path = images / image.file_name
        start_s = time.perf_counter()
        try:
            detections[image.id] = detect(path)
        except OSError as error:
            raise EvaluateError(f"cannot read {path}: {error.strerror or error}") from error
        except ImageError as error:
            raise EvaluateError(f"{path}: {error}") from error
        except DetectError as error:
            raise DetectError(f"{path}: {error}") from error
        times_ms.append((time.perf_counter() - start_s) * 1000)
        if log_interval is not None and (number % log_interval == 0 or number == len(split.images)):
            LOG.info("evaluated %d of %d photos", number, len(split.images))
    return detections, times_ms


def _time_figures(times_ms: list[float]) -> dict[str, float]:
    return {"p50": round(float(np.median(times_ms)), 3), "mean": round(float(np.mean(times_ms)), 3)}


def _draw(curves: Curves, title: str, output: Path) -> None:
    draw_precision_recall(curves, title, output / PRECISION_RECALL)
    draw_sizes(curves, title, output / SIZES)
