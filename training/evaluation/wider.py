"""Average precision on WIDER FACE's validation set: Easy, Medium and Hard, as the official protocol counts.

python -m training.evaluation.wider --predictions FOLDER --ground-truth FOLDER

The protocol is that of the official evaluation kit (Yang et al., "WIDER FACE: A Face Detection Benchmark", 2016,
`eval_tools`). The figures depend on the detections alone; at how many scales they were found is for whoever made them
to say, and is repeated in the result.

The official annotations themselves, as detections, fall short of 1 by two boxes: one of width -2, which nothing can
overlap (39_Ice_Skating_iceskiing_39_583), and one that is there twice (21_Festival_Festival_21_604).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from training.evaluation.wider_files import SUBSETS, WiderError, WiderImage, read_ground_truth, read_predictions

IOU_THRESHOLD = 0.5  # a detection and a face that overlap by at least this belong together
THRESHOLDS = 1 - np.arange(1, 1001) / 1000  # of the normalised score: .999, .998 .. 0


def evaluate_wider(
    images: Iterable[WiderImage], predictions: Callable[[WiderImage], np.ndarray], scales: str = "single scale"
) -> dict[str, float | int | str]:
    """Average precision in each subset.

    Scores of all images together are stretched to 0..1. In every image each detection, best score first, goes to the
    face it overlaps most, if by `IOU_THRESHOLD` or more. Going to a face that the subset does not count leaves it out
    of the reckoning, going to a counted face for the first time finds that face, and all else is a false detection.
    As in the kit, an image without any annotated face is passed over, whatever was detected in it.

    Args:
        predictions: gives the detections in an image, float64 [K, 5]: x, y, width, height in pixels, score.
        scales: how the detections were made, for the record.

    Returns:
        {"easy", "medium", "hard": 0 to 1, "images", "detections", "scales"}; a subset without faces has 0.

    Raises:
        WiderError: a file of detections is missing or damaged.
    """
    scores: list[np.ndarray] = []
    false: dict[str, list[np.ndarray]] = {subset: [] for subset in SUBSETS}
    found: dict[str, list[np.ndarray]] = {subset: [] for subset in SUBSETS}
    faces = dict.fromkeys(SUBSETS, 0)
    image_count, passed_over = 0, [np.empty(0)]
    for image in images:
        image_count += 1
        for subset in SUBSETS:
            faces[subset] += int(image.counted[subset].sum())
        detections = predictions(image)
        if not len(detections) or not len(image.boxes_xywh_px):
            passed_over.append(detections[:, 4])  # they still take part in stretching the scores
            continue
        detections = detections[np.argsort(-detections[:, 4], kind="stable")]
        overlaps = iou_plus_one(detections[:, :4], image.boxes_xywh_px)  # [K, G]
        scores.append(detections[:, 4])
        for subset in SUBSETS:
            is_found, is_false = match(overlaps, image.counted[subset])
            found[subset].append(is_found)
            false[subset].append(is_false)
    every_score = np.concatenate([*scores, *passed_over])
    normalised = normalise(np.concatenate([*scores, np.empty(0)]), every_score)
    result: dict[str, float | int | str] = {}
    for subset in SUBSETS:
        columns = [np.concatenate([*parts[subset], np.empty(0, bool)]) for parts in (found, false)]
        result[subset] = average_precision(*precision_recall(normalised, *columns, faces[subset]))
    return result | {"images": image_count, "detections": len(every_score), "scales": scales}


def iou_plus_one(a_xywh: np.ndarray, b_xywh: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair, float64 [A, B], as the kit has it.

    Boxes reach from (x, y) to (x + width, y + height), that pixel included, so every side is longer by 1.
    """
    a_end, b_end = a_xywh[:, :2] + a_xywh[:, 2:], b_xywh[:, :2] + b_xywh[:, 2:]
    starts = np.maximum(a_xywh[:, None, :2], b_xywh[None, :, :2])
    sides = np.maximum(np.minimum(a_end[:, None], b_end[None]) - starts + 1, 0)
    intersection = sides[..., 0] * sides[..., 1]
    areas = [(boxes[:, 2] + 1) * (boxes[:, 3] + 1) for boxes in (a_xywh, b_xywh)]
    return intersection / (areas[0][:, None] + areas[1][None] - intersection)


def match(overlaps: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which detections find a new face, and which count as detections.

    Args:
        overlaps: float [K, G], K detections best score first, with G > 0 faces.
        counted: bool [G]; the other faces are ignored.

    Returns:
        bool [K]: the detection is the first at a counted face; bool [K]: it is not at an ignored face.
    """
    face = overlaps.argmax(axis=1)
    hit = overlaps[np.arange(len(face)), face] >= IOU_THRESHOLD
    at_counted = hit & counted[face]
    first = np.zeros(len(face), bool)
    candidates = np.flatnonzero(at_counted)
    first[candidates[np.unique(face[candidates], return_index=True)[1]]] = True
    return first, ~hit | at_counted


def normalise(scores: np.ndarray, every_score: np.ndarray) -> np.ndarray:
    """Scores stretched so that `every_score` reaches from 0 to 1; all 1 if they are all the same."""
    if not len(every_score):
        return scores
    lowest, highest = every_score.min(), every_score.max()
    return (scores - lowest) / (highest - lowest) if highest > lowest else np.ones_like(scores)


def precision_recall(
    scores: np.ndarray, found: np.ndarray, proposed: np.ndarray, face_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at each of `THRESHOLDS`, float64 [1000] each; 0 where nothing is detected or annotated.

    Args:
        scores: float64 [K] in 0..1, the detections of all images.
        found, proposed: bool [K] from `match`.
        face_count: counted faces in all images.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.searchsorted(-scores[order], -THRESHOLDS, side="right")  # how many have a score >= the threshold
    totals = [np.concatenate([[0], np.cumsum(column[order])])[ends].astype(float) for column in (found, proposed)]
    precision = np.divide(totals[0], totals[1], out=np.zeros_like(totals[0]), where=totals[1] > 0)
    return precision, totals[0] / max(face_count, 1)


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under the curve whose precision never rises with recall (Pascal VOC from 2010 on)."""
    envelope = np.maximum.accumulate(np.append(precision, 0.0)[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall, [1.0]])) * envelope))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.wider", description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", type=Path, required=True, metavar="FOLDER", help="EVENT/IMAGE.txt files")
    parser.add_argument(
        "--ground-truth", type=Path, required=True, metavar="FOLDER", help="the four .mat files of the official kit"
    )
    parser.add_argument(
        "--scales", default="single scale", help="how the detections were made, for the record (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        images = read_ground_truth(arguments.ground_truth)
        result = evaluate_wider(images, lambda image: read_predictions(arguments.predictions, image), arguments.scales)
    except (WiderError, OSError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(result, indent=4))


if __name__ == "__main__":
    main()
