"""Mode predict: an exported folder on pictures, in this process, with the functions of the server."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.config import Config, ConfigError
from training.dataset_pictures import PICTURE_SUFFIXES, read_picture
from training.drawing import draw_boxes
from training.paths import shipped_network
from tritonface_server.detections import Detections
from tritonface_server.export_folder import NETWORK, ExportFolderError, read_folder
from tritonface_server.image_file import CUT_OFF
from tritonface_server.images import ImageError, decode, decode_image, open_image
from tritonface_server.in_process import InProcessDetector, load_network
from tritonface_server.runtimes import NetworkError

LOG = logging.getLogger(__name__)


class PredictError(ValueError):
    """A picture or an exported folder that cannot be used."""


def run_predict(config: Config) -> dict[str, Any]:
    """Write `<stem>_res.json` and `<stem>_res<suffix>` into `Global.output` for every picture of `Predict.input`.

    Returns:
        for each picture its path, the number of its boxes and its two files, relative to the output.

    Raises:
        ConfigError: no input, or one that does not exist.
        PredictError: the exported folder or a picture cannot be used; results of pictures before it are there.
    """
    if config.Predict.input is None:
        raise ConfigError("no picture is given; add -o Predict.input=FILE_OR_FOLDER")
    paths = list(find_pictures(config.Predict.input))
    name, output = config.Global.model, Path(config.Global.output)
    folder = Path(config.Predict.model_dir or shipped_network(name).parent)
    detector = open_exported(folder, name)
    results, taken = [], set()
    remaining = iter(paths)
    while batch := list(itertools.islice(remaining, config.Predict.batch_size)):
        encoded = [read_picture(path) for path in batch]
        images = [_decode(path, data) for path, data in zip(batch, encoded)]
        for path, data, detections in zip(batch, encoded, detector.detect(images, config.Predict.threshold)):
            stem = _free_stem(path.stem, taken)
            results.append(_write(path, data, detections, detector.facts.labels, output / stem))
            LOG.info("%s: %d boxes", path, len(detections.scores))
    return {"model": name, "model_dir": str(folder), "results": results}


def open_exported(folder: Path, name: str) -> InProcessDetector:
    """The detector in an exported folder, which must be the one called `name`.

    Raises:
        PredictError: a file is missing or damaged, or it is another detector.
    """
    try:
        facts = read_folder(folder)
        if facts.name != name:
            raise PredictError(f"Predict.model_dir: {folder} holds {facts.name}, Global.model is {name}")
        return InProcessDetector(facts, load_network(folder / NETWORK))
    except (ExportFolderError, NetworkError) as error:
        raise PredictError(f"Predict.model_dir: {error}") from None


def find_pictures(given: str | list[str]) -> Iterator[Path]:
    """The pictures that are given, those of folders sorted, with their sub-folders; ConfigError if there are none."""
    for text in [given] if isinstance(given, str) else given:
        path = Path(text)
        if "://" in text:
            raise ConfigError(f"Predict.input: {text} is an address; download the picture and name the file")
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file()
            )
            if not inside:
                raise ConfigError(f"Predict.input: the folder {path} has no pictures ({' '.join(PICTURE_SUFFIXES)})")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise ConfigError(f"Predict.input: {path} " + ("is not a file" if path.exists() else "does not exist"))


def _decode(path: Path, encoded: bytes) -> np.ndarray:
    try:
        return decode_image(encoded)
    except ImageError as error:
        raise PredictError(f"{path}: {error}") from None


def _free_stem(stem: str, taken: set[str]) -> str:
    """`<stem>_res`, or `<stem>_2_res` and so on where another picture has that name already."""
    names = itertools.chain([f"{stem}_res"], (f"{stem}_{number}_res" for number in itertools.count(2)))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name


def _write(path: Path, encoded: bytes, detections: Detections, labels: tuple[str, ...], target: Path) -> dict[str, Any]:
    boxes = [
        {"cls_id": int(class_id), "label": labels[class_id], "score": float(score), "coordinate": box.tolist()}
        for class_id, score, box in zip(detections.class_ids, detections.scores, detections.boxes_xyxy_px)
    ]
    text = json.dumps({"input_path": str(path), "boxes": boxes}, indent=4, ensure_ascii=False)
    target.with_name(f"{target.name}.json").write_text(text, encoding="utf-8", errors="backslashreplace")
    opened = open_image(encoded)
    if opened.header.cut_off:
        LOG.warning("%s: %s", path, CUT_OFF)
    kind, upright = opened.header.format, Image.fromarray(decode(opened)[:, :, ::-1])
    suffix = path.suffix if path.suffix.lower() in PICTURE_SUFFIXES else f".{kind.lower()}"
    drawn = draw_boxes(upright, detections.boxes_xyxy_px, [f"{box['label']} {box['score']:.2f}" for box in boxes])
    drawn.save(target.with_name(target.name + suffix), format=kind, quality=95)
    return {
        "input_path": str(path),
        "boxes": len(boxes),
        "json": f"{target.name}.json",
        "image": target.name + suffix,
    }
