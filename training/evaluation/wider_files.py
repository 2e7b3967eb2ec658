"""The files of WIDER FACE's evaluation: annotations as .mat files, detections as text files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

SUBSETS = ("easy", "medium", "hard")
ALL_FACES = "wider_face_val.mat"


class WiderError(ValueError):
    """A file of annotations or detections that is missing, damaged or does not fit the others."""


@dataclass(frozen=True)
class WiderImage:
    """The annotated faces of one image.

    Attributes:
        event: the folder it lies in, e.g. "0--Parade".
        name: its file name without the suffix.
        boxes_xywh_px: float64 [G, 4].
        counted: subset -> bool [G]; a face that is not counted is ignored there.
    """

    event: str
    name: str
    boxes_xywh_px: np.ndarray
    counted: dict[str, np.ndarray]


def read_ground_truth(folder: Path) -> list[WiderImage]:
    """The annotations of all images from the official kit's four .mat files.

    Raises:
        WiderError: a file is missing or damaged, or a subset is not one of these images.
    """
    faces = _load(folder / ALL_FACES, ("event_list", "file_list", "face_bbx_list"))
    subset_files = {subset: folder / f"wider_{subset}_val.mat" for subset in SUBSETS}
    subsets = {subset: _load(path, ("gt_list",))["gt_list"] for subset, path in subset_files.items()}
    images = []
    for event_number, event_cell in enumerate(faces["event_list"].ravel()):
        names, boxes = (_cell(faces[key], event_number, folder / ALL_FACES) for key in ("file_list", "face_bbx_list"))
        rows = {subset: _cell(cells, event_number, subset_files[subset]) for subset, cells in subsets.items()}
        for number, name_cell in enumerate(names.ravel()):
            image_boxes = np.asarray(_cell(boxes, number, folder / ALL_FACES), float).reshape(-1, 4)
            counted = {}
            for subset, cells in rows.items():
                chosen = np.asarray(_cell(cells, number, subset_files[subset]), int).ravel() - 1  # MATLAB counts from 1
                if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(image_boxes):
                    raise WiderError(f"{subset_files[subset]} names faces that {ALL_FACES} does not have")
                counted[subset] = np.zeros(len(image_boxes), bool)
                counted[subset][chosen] = True
            images.append(WiderImage(_text(event_cell), _text(name_cell), image_boxes, counted))
    return images


def predictions_file(folder: Path, image: WiderImage) -> Path:
    """Where the detections in an image are kept."""
    return folder / image.event / f"{image.name}.txt"


def read_predictions(folder: Path, image: WiderImage) -> np.ndarray:
    """The detections in an image, float64 [K, 5]: x, y, width, height in pixels, score.

    Raises:
        WiderError: the file is missing, cut short, or not of numbers.
    """
    path = predictions_file(folder, image)
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise WiderError(
            f"{path} is missing; every image of the validation set needs one, with the count 0 if nothing was found"
        ) from None
    except UnicodeDecodeError:
        raise WiderError(f"{path} is not a text file") from None
    try:
        count = int(lines[1])
        detections = np.array(" ".join(lines[2:]).split(), float).reshape(-1, 5)
    except (IndexError, ValueError) as error:
        raise WiderError(
            f"{path} is damaged ({error}); it needs the image's name, the number of detections, "
            "and a line `x y width height score` for each"
        ) from None
    if len(detections) != count or not np.isfinite(detections).all():
        problem = "infinite numbers or none" if len(detections) == count else f"{len(detections)} detections"
        raise WiderError(f"{path} announces {count} detections and holds {problem}; write it anew")
    return detections


def write_predictions(folder: Path, image: WiderImage, boxes_xyxy_px: np.ndarray, scores: np.ndarray) -> Path:
    """Write the detections in an image, boxes [K, 4] and scores [K], as `read_predictions` reads them."""
    lines = [image.name, str(len(scores))]
    for (left, top, right, bottom), score in zip(np.asarray(boxes_xyxy_px, float).tolist(), scores):
        lines.append(f"{left:.3f} {top:.3f} {right - left:.3f} {bottom - top:.3f} {float(score):.7f}")
    path = predictions_file(folder, image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def _load(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise WiderError(f"{path} is missing; it is part of the official kit (eval_tools/ground_truth)")
    try:
        content = scipy.io.loadmat(path)
    except Exception as error:  # the reader raises anything on damaged files
        raise WiderError(f"{path} cannot be read as a MATLAB file: {error}") from error
    absent = [key for key in keys if key not in content]
    if absent:
        raise WiderError(f"{path} has no {', '.join(absent)}; it is not a file of the official kit")
    return {key: content[key] for key in keys}


def _cell(cells: np.ndarray, number: int, path: Path) -> np.ndarray:
    """The content of a MATLAB cell array's cell."""
    try:
        return cells.ravel()[number]
    except IndexError:
        raise WiderError(f"{path} has fewer images than {ALL_FACES}; take all four files from one kit") from None


def _text(cell: np.ndarray) -> str:
    return str(np.asarray(cell).ravel()[0])
