"""Mode check_dataset: is a COCO data set fit for training, and what is in it.

What is checked is what every mode checks when it reads a data set; the pictures are read, but not decoded, so that
10,000 take seconds.
"""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.coco_dataset import IMAGES, CocoSplit, load_dataset
from training.config import Config, dataset_of
from training.dataset_pictures import read_picture
from training.dataset_problems import DatasetError, first_of
from training.drawing import draw_boxes, draw_histogram
from training.resplit import resplit
from tritonface_server.images import ImageError, decode, open_image

LOG = logging.getLogger(__name__)
FOLDER = "check_dataset"
SAMPLES = 3  # pictures of each split that are drawn


def run_check_dataset(config: Config) -> dict[str, Any]:
    """Check `Global.dataset_dir`, after splitting it anew if wanted, and draw samples into `Global.output`.

    Returns:
        PaddleX's `check_dataset_result.json`, without `done_flag`; paths in it are relative to the output.

    Raises:
        DatasetError: the data set is not fit, with everything that is wrong.
        ConfigError: no data set is given.
    """
    dataset, output = dataset_of(config), Path(config.Global.output)
    if config.CheckDataset.split.enable:
        for kept in resplit(dataset, config.CheckDataset.split.train_share, config.CheckDataset.split.seed):
            LOG.info("kept the annotations before the split as %s", kept)
    splits = load_dataset(dataset, config.Train.num_classes)
    classes = splits["train"].class_names
    _warn_of_shared_images(splits)
    attributes: dict[str, Any] = {"num_classes": len(classes)}
    for name, split in splits.items():
        attributes[f"{name}_samples"] = len(split.images)
        attributes[f"{name}_sample_paths"] = _draw_samples(dataset, split, output)
    counts = {name: _boxes_per_class(split) for name, split in splits.items()}
    draw_histogram(classes, counts, output / FOLDER / "histogram.png")
    LOG.info("Check dataset passed !")
    return {
        "check_pass": True,
        "attributes": attributes,
        "analysis": {"histogram": f"{FOLDER}/histogram.png"},
        "dataset_path": config.Global.dataset_dir,
        "show_type": "image",
        "dataset_type": "COCODetDataset",
    }


def _warn_of_shared_images(splits: dict[str, CocoSplit]) -> None:
    train, val = ({image.file_name for image in split.images} for split in splits.values())
    if train & val:
        named = first_of([repr(name) for name in sorted(train & val)])
        LOG.warning("%d images are in both splits, which flatters the evaluation (%s)", len(train & val), named)


def _draw_samples(dataset: Path, split: CocoSplit, output: Path) -> list[str]:
    """Draw a few pictures that have boxes; the paths relative to `output`."""
    with_boxes = [image for image in split.images if not image.ignored.all()]
    paths = []
    for image in random.Random(0).sample(with_boxes, min(SAMPLES, len(with_boxes))):
        path = Path(FOLDER, "demo_img", image.file_name)
        try:
            opened = open_image(read_picture(dataset / IMAGES / image.file_name))
            picture = Image.fromarray(decode(opened)[:, :, ::-1])
        except (OSError, ImageError) as error:
            raise DatasetError(f"image {image.id} {image.file_name!r}: {error}") from None
        labels = [split.class_names[class_id] for class_id in image.class_ids]
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        draw_boxes(picture, image.boxes_xyxy_px, labels).save(output / path, format=opened.header.format, quality=95)
        paths.append(path.as_posix())
    return paths


def _boxes_per_class(split: CocoSplit) -> np.ndarray:
    counts = np.zeros(len(split.class_names), np.int64)
    for image in split.images:
        counts += np.bincount(image.class_ids[~image.ignored], minlength=len(counts))
    return counts
