"""Checkpoints: folders that are there whole or not at all, in the files that PaddleX users know.

    <name>/<name>.pdparams   the weights to evaluate and export: the averaged ones where there is an average
    <name>/<name>.pdema      the weights that the optimiser moves, where there is an average
    <name>/<name>.pdopt      the state of the optimiser
    <name>/<name>.pdstates   how far the training is, and checksums of the others, see `training.progress`

Arrays are read back by `training.pdparams`, which runs nothing that a file may ask for.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle

from training.pdparams import read_pdparams
from training.progress import SUFFIX, CheckpointError, Progress, check_files, read_progress, write_progress
from training.replace_folder import replace_folder, to_disk
from training.weights import WeightsError

Arrays = dict[str, np.ndarray]
FOLDER, BEST, START = "checkpoint", "best_model", "start_model"
KEPT = 2
EPOCH_FOLDER = re.compile(r"epoch_(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on.

    Attributes:
        weights: to evaluate and export.
        moving: the weights that the optimiser moves, if `weights` are their average.
        optimiser: its state; empty before the first step.
    """

    weights: Arrays
    moving: Arrays | None
    optimiser: Arrays
    progress: Progress


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, replacing what is there only when the new one is complete on the disk.

    Raises:
        CheckpointError: the disk is full or cannot be written to; what was there before stays.
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        _write(unfinished / folder.name, checkpoint)
        replace_folder(unfinished / folder.name, folder)
    except OSError as error:
        raise CheckpointError(
            f"cannot save {folder}: {error.strerror or error}; what was saved before is whole: make room, and go on "
            "with Train.resume_path"
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_checkpoint(folder: Path, model: str) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is damaged, or of another model.
    """
    progress = read_progress(folder)
    if progress.model != model:
        raise CheckpointError(f"{folder} is a training of {progress.model}, not of {model}")
    try:
        check_files(folder)
        weights, optimiser = (read_pdparams(folder / f"{folder.name}{kind}") for kind in (".pdparams", ".pdopt"))
        moving = folder / f"{folder.name}.pdema"
        return Checkpoint(weights, read_pdparams(moving) if moving.exists() else None, optimiser, progress)
    except WeightsError as error:
        raise CheckpointError(f"cannot go on from {folder}: {error}") from None


def epoch_folder(output: Path, epochs: int) -> Path:
    """Where a training keeps its checkpoint after so many epochs."""
    return output / FOLDER / f"epoch_{epochs:04d}"


def checkpoints(output: Path) -> list[Path]:
    """The checkpoints of a training, oldest first; one may be damaged."""
    folder = output / FOLDER
    found = [path for path in folder.iterdir() if EPOCH_FOLDER.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=_epochs)


def later_checkpoints(output: Path, epochs: int) -> list[Path]:
    """Those of more epochs: a training that goes on from an earlier one gives them up."""
    return [path for path in checkpoints(output) if _epochs(path) > epochs]


def prune(output: Path, epochs: int) -> None:
    """Remove all checkpoints but the `KEPT` newest up to `epochs`, which a training has just reached."""
    reached = [path for path in checkpoints(output) if _epochs(path) <= epochs]
    for path in (*reached[:-KEPT], *later_checkpoints(output, epochs)):
        shutil.rmtree(path)


def find_checkpoints(path: Path) -> list[Path]:
    """The checkpoint folder that `path` is or lies in, or those of an output folder, newest first and the best last.

    Raises:
        CheckpointError: there is none.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / f"{folder.name}{SUFFIX}").is_file() or EPOCH_FOLDER.fullmatch(folder.name):
        return [folder]
    found = checkpoints(folder)[::-1]
    if (folder / BEST / f"{BEST}{SUFFIX}").is_file():
        found.append(folder / BEST)
    if not found:
        raise CheckpointError(
            f"{path} is no checkpoint and has none in {FOLDER}/; Train.resume_path is the output folder of a training, "
            f"or one of its checkpoints, such as output/{FOLDER}/epoch_0003"
        )
    return found


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir(parents=True)
    arrays = {".pdparams": checkpoint.weights, ".pdema": checkpoint.moving, ".pdopt": checkpoint.optimiser}
    for suffix, content in arrays.items():
        if content:
            paddle.save(content, str(folder / f"{folder.name}{suffix}"))
    write_progress(folder, checkpoint.progress)
    for path in (*folder.iterdir(), folder):
        to_disk(path)


def _epochs(folder: Path) -> int:
    return int(folder.name.split("_")[1])
