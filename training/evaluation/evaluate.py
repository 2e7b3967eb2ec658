"""Mode evaluate: how good a detector is on the validation photos of a data set.

python -m training.evaluation.evaluate --detector NAME --dataset DIR --output DIR
    [--weights FILE | --onnx FILE | --url HOST:PORT [--model NAME]] [--img-size WIDTH HEIGHT]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from training.coco_dataset import IMAGES, CocoSplit, annotation_file, load_split
from training.dataset_pictures import read_picture
from training.evaluation.coco import evaluate_coco
from training.evaluation.curves import Curves, draw_precision_recall, draw_sizes, measure_curves
from training.evaluation.detect import Detect, open_detect
from training.evaluation.networks import DetectError, Faces
from training.evaluation.options import add_detect_options, open_from_options
from training.paths import shipped_weights
from tritonface_server.images import ImageError

RESULT = "evaluate_result.json"
PRECISION_RECALL, SIZES = "evaluate/precision_recall.png", "evaluate/ap_by_face_size.png"

log = logging.getLogger(__name__)


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
    if config.Global.dataset_dir is None:
        raise EvaluateError("no data set is given; set Global.dataset_dir")
    with open_detect(
        name,
        weights=None if chosen.served_url else Path(chosen.weight_path or shipped_weights(name)),
        served_url=chosen.served_url,
        served_model=chosen.served_model,
        size_wh=(chosen.image_size, chosen.image_size) if chosen.image_size else None,
    ) as detect:
        return evaluate(detect, name, Path(config.Global.dataset_dir), Path(config.Global.output), chosen.log_interval)


def evaluate(detect: Detect, name: str, dataset: Path, output: Path, log_interval: int = 10) -> dict[str, Any]:
    """Detect the faces of the validation photos, compare them with the annotations, write figures and pictures.

    Args:
        name: of the detector, for the record.
        dataset: a folder with `images/` and `annotations/instance_val.json` (COCO).
        output: the folder that receives `RESULT`, `PRECISION_RECALL` and `SIZES`; made if need be.
        log_interval: photos between two lines of the log.

    Returns:
        the content of `RESULT`: COCO's figures ("AP", "AP50" ... "AR"; -1 where nothing is annotated),
        "by_face_side_px" (faces and AP50 of each size), the numbers of images and faces, the network's input, and the
        time per photo.

    Raises:
        DatasetError: the data set is not sound, see `training.coco_dataset.load_split`.
        EvaluateError: a photo cannot be read.
        DetectError: the server does not answer, or refuses.
    """
    split = load_split(annotation_file(dataset, "val"), dataset / IMAGES)
    detections, times_ms = detect_all(detect, split, dataset / IMAGES, log_interval)
    figures, curves = evaluate_coco(split, detections), measure_curves(split, detections)
    width, height = detect.size_wh
    result = {
        "done_flag": True,
        "model": name,
        "source": detect.source,
        "image_size": {"width": width, "height": height},
        **figures,
        "by_face_side_px": {size.name: {"faces": size.faces, "AP50": size.ap50} for size in curves.sizes},
        "images": curves.images,
        "faces": curves.faces,
        "ignored_faces": curves.ignored_faces,
        "ms_per_image": _time_figures(times_ms),
        "pictures": [PRECISION_RECALL, SIZES],
    }
    _draw(curves, f"{name} ({detect.source}, {width}x{height})", output)
    write_result(output, result)
    return result


def write_result(output: Path, result: dict[str, Any]) -> None:
    """Write `RESULT`; after a failure it says so, see `failure`."""
    output.mkdir(parents=True, exist_ok=True)
    (output / RESULT).write_text(json.dumps(result, indent=4) + "\n")


def failure(error: Exception) -> dict[str, Any]:
    """What `RESULT` holds after an error."""
    return {"done_flag": False, "err_type": type(error).__name__, "err_msg": str(error)}


def detect_all(
    detect: Detect, split: CocoSplit, images: Path, log_interval: int | None = None
) -> tuple[dict[int, Faces], list[float]]:
    """Detections by image id, and milliseconds per photo: decoding, network, NMS and, if served, the way there.

    Nothing is logged if `log_interval` is None. Raises as `evaluate` does.
    """
    detections, times_ms = {}, []
    for number, image in enumerate(split.images, start=1):
        path = images / image.file_name
        try:
            encoded = read_picture(path)
        except OSError as error:
            raise EvaluateError(f"cannot read {path}: {error.strerror or error}") from error
        start_s = time.perf_counter()
        try:
            detections[image.id] = detect(encoded)
        except ImageError as error:
            raise EvaluateError(f"{path}: {error}") from error
        except DetectError as error:
            raise DetectError(f"{path}: {error}") from error
        times_ms.append((time.perf_counter() - start_s) * 1000)
        if log_interval is not None and (number % log_interval == 0 or number == len(split.images)):
            log.info("evaluated %d of %d photos", number, len(split.images))
    return detections, times_ms


def _time_figures(times_ms: list[float]) -> dict[str, float]:
    return {"p50": round(float(np.median(times_ms)), 3), "mean": round(float(np.mean(times_ms)), 3)}


def _draw(curves: Curves, title: str, output: Path) -> None:
    draw_precision_recall(curves, title, output / PRECISION_RECALL)
    draw_sizes(curves, title, output / SIZES)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.evaluate", description=__doc__.splitlines()[0])
    add_detect_options(parser)
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="a COCO data set")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the figures and the pictures")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", force=True)
    log.setLevel(logging.INFO)
    try:
        with open_from_options(arguments) as detect:
            result = evaluate(detect, arguments.detector, arguments.dataset, arguments.output)
    except (DetectError, ValueError, OSError) as error:
        with contextlib.suppress(OSError):  # the folder itself may be what is wrong
            write_result(arguments.output, failure(error))
        sys.exit(f"error: {error}")
    print(json.dumps(result, indent=4))


if __name__ == "__main__":
    main()
