"""A detector on WIDER FACE's validation set: writes its faces in all photos, prints the Easy, Medium and Hard figures.

python -m training.evaluation.wider_detect --detector NAME --images DIR --ground-truth FOLDER --predictions FOLDER
    [--weights FILE | --onnx FILE | --url HOST:PORT [--model NAME]] [--img-size WIDTH HEIGHT]

Every photo is seen once, stretched to one size: a single scale, without flipping. The figures are those of
`training.evaluation.wider`, which also takes the files of other detectors.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from training.detectors import DETECTORS
from training.evaluation.detect import Detect, DetectError, open_detect
from training.evaluation.wider import evaluate_wider
from training.evaluation.wider_files import (
    WiderError,
    WiderImage,
    read_ground_truth,
    read_predictions,
    write_predictions,
)
from training.paths import shipped_weights
from tritonface_server.images import ImageError

LOG_INTERVAL = 100  # photos

LOG = logging.getLogger(__name__)


def detect_all(detect: Detect, images: Sequence[WiderImage], photos: Path, predictions: Path) -> None:
    """Write the faces of every image to `predictions`; the photos are `photos`/EVENT/IMAGE.jpg.

    Raises:
        WiderError: a photo is missing or cannot be decoded.
        DetectError: the server does not answer.
    """
    for number, image in enumerate(images, start=1):
        path = photos / image.event / f"{image.name}.jpg"
        try:
            found = detect(path)
        except FileNotFoundError:
            raise WiderError(f"{path} is missing; --images is the folder WIDER_val/images of the data set") from None
        except ImageError as error:
            raise WiderError(f"{path}: {error}") from error
        write_predictions(predictions, image, found.boxes_xyxy_px, found.scores)
        if number % LOG_INTERVAL == 0 or number == len(images):
            LOG.info("%d of %d photos", number, len(images))


def _check_one_class(labels: Sequence[str]) -> None:
    if len(labels) > 1:
        raise WiderError(f"WIDER FACE has one class, faces; this detector has several ({', '.join(labels)})")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.wider_detect", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--detector", choices=DETECTORS, required=True)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--weights", type=Path, metavar="FILE", help=".safetensors or .pdparams (default: the shipped)")
    source.add_argument("--onnx", type=Path, metavar="FILE", help="an exported network")
    source.add_argument("--url", metavar="HOST:PORT", help="a Triton server's gRPC address")
    parser.add_argument("--model", metavar="NAME", help="its model (default: the detector's)")
    parser.add_argument("--img-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="the network's input")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="WIDER_val/images")
    parser.add_argument("--ground-truth", type=Path, required=True, metavar="FOLDER", help="the kit's four .mat files")
    parser.add_argument("--predictions", type=Path, required=True, metavar="FOLDER", help="receives EVENT/IMAGE.txt")
    arguments = parser.parse_args()
    if arguments.model and not arguments.url:
        parser.error("--model is a model of a server; give its --url too")
    weights = arguments.onnx or arguments.weights or (None if arguments.url else shipped_weights(arguments.detector))
    logging.basicConfig(format="%(message)s", force=True)
    LOG.setLevel(logging.INFO)
    try:
        with open_detect(
            arguments.detector,
            weights=weights,
            served_url=arguments.url,
            served_model=arguments.model,
            size_wh=tuple(arguments.img_size) if arguments.img_size else None,
        ) as detect:
            _check_one_class(detect.labels)
            images = read_ground_truth(arguments.ground_truth)
            detect_all(detect, images, arguments.images, arguments.predictions)
            width, height = detect.size_wh
        scales = f"single scale, stretched to {width}x{height}"
        result = evaluate_wider(images, lambda image: read_predictions(arguments.predictions, image), scales)
    except (DetectError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(result, indent=4))


if __name__ == "__main__":
    main()
