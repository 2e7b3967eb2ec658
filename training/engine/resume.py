"""Going on with a training: from which checkpoint, into which output, and what is not as it was."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.coco_dataset import CocoSplit
from training.config import Train
from training.engine.checkpoint import (
    BEST,
    Checkpoint,
    checkpoints,
    find_checkpoints,
    later_checkpoints,
    load_checkpoint,
)
from training.progress import VALIDATION_PICTURES, CheckpointError, Progress, check_files, read_progress
from training.replace_folder import recover_folder

LOG = logging.getLogger(__name__)

NOT_LEARNED_BY = {
    *("pretrain_weight_path", "resume_path", "log_interval", "eval_interval", "save_interval", "num_workers")
}
"""Settings that do not change what is learned once a training has begun."""
OF_OLD: dict[str, Any] = {"recipe": "reference"}
"""Settings that checkpoints of earlier versions do not name, and what they were."""
RATE = "the learning rate is another from here on"
STEPS = "an epoch has another number of steps, and the learning rate goes on as if it had always had"
NOT_COMPARABLE = "AP from here on cannot be compared with that of before, so the best epoch is looked for anew"
EFFECTS = {
    "recipe": "pictures are made in another way from here on",
    "epochs_iters": "schedules that end with the last epoch change",
    "batch_size": STEPS,
    "steps_per_epoch": STEPS,
    **dict.fromkeys(("learning_rate", "schedule", "milestones", "gamma", "warmup_steps", "warmup_start_factor"), RATE),
    "ema_decay": "an average that begins now begins with the weights as they are",
    "image_size": NOT_COMPARABLE,
    "seed": "the pictures come in another order and are augmented otherwise",
    "training pictures": "it goes on learning from these; an epoch may have another number of steps",
    VALIDATION_PICTURES: NOT_COMPARABLE,
}


def settings_of(train: Train, splits: Mapping[str, CocoSplit]) -> dict[str, Any]:
    """What decides what is learned: settings, and of both splits the number of pictures and a checksum."""
    pictures = {"training pictures": _checksum(splits["train"]), VALIDATION_PICTURES: _checksum(splits["val"])}
    return {**train.model_dump(exclude=NOT_LEARNED_BY), **pictures}


def resume(path: Path, output: Path, model: str) -> Checkpoint:
    """The checkpoint to go on from: the one named or, of an output folder, the newest that is whole.

    Raises:
        CheckpointError: there is none, or `output` holds another training.
    """
    recover_folder(output / BEST)
    checkpoint = _newest_whole(find_checkpoints(path), model)
    check_output(output, checkpoint.progress.run, f"{path} is")
    return checkpoint


def check_output(output: Path, run: str, other: str) -> None:
    """Raise CheckpointError if a folder holds checkpoints of another training than `run`."""
    for folder in (output / BEST, *checkpoints(output)):
        if folder.is_dir() and _run_of(folder) not in (run, None):
            raise CheckpointError(
                f"{output} holds another training than {other}; set another Global.output, or add "
                f"-o Train.resume_path={output} to go on with the one that is there"
            )


def check_classes(before: Progress, labels: Sequence[str]) -> None:
    """Raise CheckpointError if a class that was learned would be another from here on; a single one may be renamed."""
    if before.labels != list(labels) and not len(before.labels) == len(labels) == 1:
        raise CheckpointError(
            f"the checkpoint has learned {', '.join(before.labels)}, the data set's classes are {', '.join(labels)}; "
            "begin a new training with its weights in Train.pretrain_weight_path"
        )


def best_so_far(output: Path, progress: Progress) -> Progress | None:
    """Of the best model in the output, if its AP can be compared with those to come."""
    folder = output / BEST
    if not folder.is_dir():
        return None
    try:
        best = read_progress(folder)
        check_files(folder)
    except CheckpointError as error:
        LOG.warning("%s; the best epoch is looked for anew", error)
        return None
    return best if comparable(best.settings, progress.settings) else None


def comparable(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether figures that were measured under two settings can be compared."""
    return all(key in one and one[key] == other[key] for key in ("image_size", VALIDATION_PICTURES))


def tell_differences(output: Path, before: Progress, now: dict[str, Any]) -> None:
    """Log what is not as it was when the checkpoint was written, and what that means."""
    for key, value in now.items():
        was = before.settings.get(key, OF_OLD.get(key))
        if was != value and not (key == "epochs_iters" and now["schedule"] != "cosine"):
            name = key if key.endswith("pictures") else f"Train.{key}"
            effect = EFFECTS.get(key, "it goes on with the new value")
            LOG.warning("goes on with other settings: %s is %s, it was %s: %s", name, value, was, effect)
    later = later_checkpoints(output, before.epochs)
    if later:
        names = ", ".join(path.name for path in later)
        LOG.warning("goes on after epoch %d: %s will be given up when an epoch is saved", before.epochs, names)


def _checksum(split: CocoSplit) -> str:
    digest = hashlib.sha256()
    for image in split.images:
        digest.update(repr((image.file_name, image.size_wh)).encode())
        for array in (image.boxes_xyxy_px, image.class_ids, image.ignored):
            digest.update(array.tobytes())
    return f"{len(split.images)} (sha256 {digest.hexdigest()[:12]})"


def _newest_whole(folders: list[Path], model: str) -> Checkpoint:
    """The first that can be read; what is damaged is said if there is another to take."""
    errors = []
    for folder in folders:
        try:
            checkpoint = load_checkpoint(folder, model)
        except CheckpointError as error:
            errors.append(error)
            continue
        for error in errors:
            LOG.warning("%s; goes on from %s instead", error, folder.name)
        return checkpoint
    raise errors[0]


def _run_of(folder: Path) -> str | None:
    try:
        return read_progress(folder).run
    except CheckpointError:
        return None  # damaged, so it will be replaced
