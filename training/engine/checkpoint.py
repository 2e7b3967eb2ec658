"""Checkpoints: folders that are there whole or not at all, in the files that PaddleX users know.

    <name>/<name>.pdparams   the weights to evaluate and export: the averaged ones where there is an average
    <name>/<name>.pdema      the weights that the optimiser moves, where there is an average
    <name>/<name>.pdopt      the state of the optimiser
    <name>/<name>.pdstates   how far the training is, as JSON

Arrays are read back by `training.pdparams`, which runs nothing that a file may ask for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import paddle

from training.pdparams import read_pdparams
from training.weights import WeightsError

Arrays = dict[str, np.ndarray]
FOLDER, BEST = "checkpoint", "best_model"
KEPT = 2
EPOCH_FOLDER = re.compile(r"epoch_(\d+)")


class CheckpointError(ValueError):
    """A checkpoint that is missing, incomplete or of another training."""


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        epochs, steps: done.
        ap: COCO AP on the validation pictures after this epoch, 0..1; None if it was not evaluated.
        best_ap, best_epoch: the best so far, the epoch counted from 1; None if there was none.
        average_updates: steps in the averaged weights.
    """

    model: str
    epochs: int = 0
    steps: int = 0
    ap: float | None = None
    best_ap: float | None = None
    best_epoch: int | None = None
    average_updates: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on.

    Attributes:
        weights: to evaluate and export.
        moving: the weights that the optimiser moves, if `weights` are their average.
    """

    weights: Arrays
    moving: Arrays | None
    optimiser: Arrays
    progress: Progress


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, replacing what is there only when the new one is complete on the disk."""
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    stem = unfinished / folder.name
    arrays = {".pdparams": checkpoint.weights, ".pdema": checkpoint.moving, ".pdopt": checkpoint.optimiser}
    for suffix, content in arrays.items():
        if content is not None:
            paddle.save(content, str(stem) + suffix)
    state = json.dumps(asdict(checkpoint.progress), indent=2) + "\n"
    stem.with_suffix(".pdstates").write_text(state, encoding="utf-8")
    for path in (*unfinished.iterdir(), unfinished):
        _to_disk(path)
    replace_folder(unfinished, folder)


def replace_folder(new: Path, folder: Path) -> None:
    """Put a complete folder in the place of another; `recover_folder` undoes it if it is cut short in the middle."""
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    _to_disk(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Bring back the folder that an interrupted `replace_folder` had moved away."""
    if not folder.exists() and _old(folder).exists():
        _old(folder).rename(folder)


def epoch_folder(output: Path, epochs: int) -> Path:
    """Where a training keeps its checkpoint after so many epochs."""
    return output / FOLDER / f"epoch_{epochs:04d}"


def checkpoints(output: Path) -> list[Path]:
    """The complete checkpoints of a training, oldest first."""
    folder = output / FOLDER
    found = [path for path in folder.iterdir() if EPOCH_FOLDER.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.split("_")[1]))


def prune(output: Path) -> None:
    """Remove all but the `KEPT` newest checkpoints."""
    for path in checkpoints(output)[:-KEPT]:
        shutil.rmtree(path)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint folder that `path` is or lies in, or the newest one of an output folder.

    Raises:
        CheckpointError: there is none.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / f"{folder.name}.pdstates").is_file():
        return folder
    recover_folder(folder / BEST)
    found = checkpoints(folder)
    if not found:
        raise CheckpointError(
            f"{path} is no checkpoint and has none in {FOLDER}/; Train.resume_path is the output folder of a training, "
            f"or one of its checkpoints, such as output/{FOLDER}/epoch_0003"
        )
    return found[-1]


def load_checkpoint(folder: Path, model: str) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is damaged, or of another model.
    """
    stem = folder / folder.name
    progress = read_progress(folder)
    if progress.model != model:
        raise CheckpointError(f"{folder} is a training of {progress.model}, not of {model}")
    try:
        moving = read_pdparams(Path(f"{stem}.pdema")) if Path(f"{stem}.pdema").exists() else None
        return Checkpoint(
            read_pdparams(Path(f"{stem}.pdparams")), moving, read_pdparams(Path(f"{stem}.pdopt")), progress
        )
    except WeightsError as error:
        raise CheckpointError(f"cannot go on from {folder}: {error}") from None


def read_progress(folder: Path) -> Progress:
    """How far the training of a checkpoint was; CheckpointError if that cannot be read."""
    path = folder / f"{folder.name}.pdstates"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return Progress(**{field.name: state[field.name] for field in fields(Progress)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not say how far the training is: {error}") from None


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _to_disk(path: Path) -> None:
    """Have a file or the entries of a folder written to the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
