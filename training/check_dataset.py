"""Mode check_dataset: is a COCO data set fit for training, and what is in it.

Of the pictures only the headers are read, so that 10,000 take seconds; truncated pixel data is not noticed.
"""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from training.coco_dataset import (
    IMAGES,
    SPLITS,
    CocoImage,
    CocoSplit,
    annotation_file,
    check_class_count,
    check_not_empty,
    parse_split,
    read_annotations,
)
from training.config import Config, ConfigError
from training.dataset_problems import SHOWN, DatasetError, Problems
from training.drawing import draw_boxes, draw_histogram
from training.resplit import resplit
from tritonface_server.images import FORMAT_NAMES, FORMATS
from tritonface_server.limits import MAX_PIXELS, MAX_SIDE_PX

LOG = logging.getLogger(__name__)
FOLDER = "check_dataset"
SAMPLES = 3  # pictures of each split that are drawn
EXIF_ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)


def run_check_dataset(config: Config) -> dict[str, Any]:
    """Check `Global.dataset_dir`, after splitting it anew if wanted, and draw samples into `Global.output`.

    Returns:
        PaddleX's `check_dataset_result.json`, without `done_flag`; paths in it are relative to the output.

    Raises:
        DatasetError: the data set is not fit, with everything that is wrong.
        ConfigError: no data set is given.
    """
    if config.Global.dataset_dir is None:
        raise ConfigError("no data set is given; add -o Global.dataset_dir=FOLDER")
    dataset, output = Path(config.Global.dataset_dir), Path(config.Global.output)
    if not dataset.is_dir():
        raise DatasetError(f"the data set {dataset} is not a folder")
    if config.CheckDataset.split.enable:
        for kept in resplit(dataset, config.CheckDataset.split.train_share, config.CheckDataset.split.seed):
            LOG.info("kept the annotations before the split as %s", kept)
    splits = check_dataset(dataset)
    classes = splits["train"].class_names
    check_class_count(splits["train"], config.Train.num_classes)
    _warn(splits)
    attributes: dict[str, Any] = {"num_classes": len(classes)}
    for name, split in splits.items():
        attributes[f"{name}_samples"] = len(split.images)
        attributes[f"{name}_sample_paths"] = _draw_samples(dataset, split, output)
    counts = {name: _boxes_per_class(split) for name, split in splits.items()}
    draw_histogram(classes, counts).save(output / FOLDER / "histogram.png")
    LOG.info("Check dataset passed !")
    return {
        "check_pass": True,
        "attributes": attributes,
        "analysis": {"histogram": f"{FOLDER}/histogram.png"},
        "dataset_path": config.Global.dataset_dir,
        "show_type": "image",
        "dataset_type": "COCODetDataset",
    }


def check_dataset(dataset: Path) -> dict[str, CocoSplit]:
    """Both splits of a data set whose annotations and pictures' headers are sound.

    Raises:
        DatasetError: with everything that is wrong.
    """
    splits, found = {}, []
    for name in SPLITS:
        file = annotation_file(dataset, name)
        problems = Problems(file.name)
        try:
            splits[name] = split = parse_split(read_annotations(file), problems)
        except DatasetError as error:
            found.append(str(error))
            continue
        if not problems.by_kind:
            check_not_empty(split, problems)
        _check_pictures(dataset / IMAGES, split.images, problems)
        if problems.by_kind:
            found.append(str(problems))
    if not found and splits["train"].class_names != splits["val"].class_names:
        found.append(f"the categories differ: {splits['train'].class_names} and {splits['val'].class_names}")
    if found:
        raise DatasetError("; ".join(found))
    return splits


def _check_pictures(folder: Path, images: Iterable[CocoImage], problems: Problems) -> None:
    """Compare every picture's header with its entry; threads, because slow disks and networks make one wait."""
    images = list(images)
    with warnings.catch_warnings(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        warnings.simplefilter("ignore")  # of Pillow, for large pictures and odd metadata; both are checked here
        for image, problem in zip(images, pool.map(lambda image: _picture_problem(folder, image), images)):
            if problem:
                kind, detail = problem
                problems.add(kind, f"image {image.id} {image.file_name!r}{detail}")


def _picture_problem(folder: Path, image: CocoImage) -> tuple[str, str] | None:
    """What is wrong with a picture: the kind and, after the name, the detail."""
    path = folder / image.file_name
    try:
        if path.exists() and not path.is_file():  # a pipe would make us wait for ever
            return "images are no files", ""
        width, height = upright_size_wh(path)
    except Image.DecompressionBombError:
        return "images have too many pixels", ""
    except (FileNotFoundError, NotADirectoryError):
        return "images are missing", ""
    except Exception as error:  # Pillow raises anything on damaged headers
        unknown = isinstance(error, Image.UnidentifiedImageError)
        reason = f"not {FORMAT_NAMES}" if unknown else " ".join(str(error).split()) or type(error).__name__
        return "images are unreadable", f" ({reason})"
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        return "images have too many pixels", f" ({width}x{height})"
    if (width, height) != image.size_wh:
        annotated = f"{image.size_wh[0]}x{image.size_wh[1]}"
        return "images have another size than annotated", f" ({width}x{height} px, annotated {annotated})"
    return None


def upright_size_wh(path: Path) -> tuple[int, int]:
    """Pixels of a picture after its EXIF orientation, from the header alone; whatever Pillow raises otherwise."""
    with Image.open(path, formats=FORMATS) as picture:
        width, height = picture.size
        sideways = picture.info.get("exif") and picture.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
    return (height, width) if sideways else (width, height)


def _warn(splits: dict[str, CocoSplit]) -> None:
    for name, split in splits.items():
        if split.empty_boxes:
            named = "; ".join(split.empty_boxes[:SHOWN]) + ("; ..." if len(split.empty_boxes) > SHOWN else "")
            LOG.warning("%s: %d boxes have no area and are skipped (%s)", name, len(split.empty_boxes), named)
    train, val = ({image.file_name for image in split.images} for split in splits.values())
    if train & val:
        named = ", ".join(repr(name) for name in sorted(train & val)[:SHOWN])
        LOG.warning("%d images are in both splits, which flatters the evaluation (%s)", len(train & val), named)


def _draw_samples(dataset: Path, split: CocoSplit, output: Path) -> list[str]:
    """Draw a few pictures that have boxes; the paths relative to `output`."""
    with_boxes = [image for image in split.images if not image.ignored.all()]
    paths = []
    for image in random.Random(0).sample(with_boxes, min(SAMPLES, len(with_boxes))):
        path = Path(FOLDER, "demo_img", image.file_name)
        try:
            with Image.open(dataset / IMAGES / image.file_name, formats=FORMATS) as encoded:
                picture, kind = ImageOps.exif_transpose(encoded).convert("RGB"), encoded.format
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetError(f"image {image.id} {image.file_name!r} cannot be decoded: {error}") from None
        labels = [split.class_names[class_id] for class_id in image.class_ids]
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        draw_boxes(picture, image.boxes_xyxy_px, labels).save(output / path, format=kind, quality=95)
        paths.append(path.as_posix())
    return paths


def _boxes_per_class(split: CocoSplit) -> np.ndarray:
    counts = np.zeros(len(split.class_names), np.int64)
    for image in split.images:
        counts += np.bincount(image.class_ids[~image.ignored], minlength=len(counts))
    return counts
