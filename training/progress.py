"""How far a training is: the JSON file `.pdstates` beside the weights, with their checksums.

It also keeps what the weights must not be parted from: the size of the network's input at which they were chosen, and
the settings and pictures they learned by.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from training.replace_folder import to_disk
from training.weights import WeightsError

SUFFIX = ".pdstates"
CHECKSUMS, OWN_CHECKSUM = "sha256", "sha256_of_this"
VALIDATION_PICTURES = "validation pictures"
SINCE_LATER = {"ap50", "pretrained", "before"}
"""What the first versions of this project did not write."""


class CheckpointError(WeightsError):
    """A checkpoint that is missing, incomplete, damaged or of another training."""


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        model: the detector's name.
        run: names the training, through all its interruptions.
        image_size: side in px of the network's input at which the weights are evaluated, exported and served.
        epochs, steps: done.
        ap, ap50: COCO's figures on the validation pictures after this epoch, 0..1; None if it was not evaluated.
        first_loss: of the very first step.
        average_updates: steps in the averaged weights.
        settings: and pictures by which it learns, see `training.engine.resume.settings_of`.
        labels: the data set's class names, with which the weights are served.
        pretrained: whether the training began with given weights, not with random ones.
        before: figures on the same pictures of what the training began with: "epoch" (0, or where it went on with
            other pictures or another size), "AP" and "AP50"; None if that were random weights.
    """

    model: str
    run: str
    image_size: int
    epochs: int = 0
    steps: int = 0
    ap: float | None = None
    first_loss: float | None = None
    average_updates: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=lambda: ["face"])
    ap50: float | None = None
    pretrained: bool = False
    before: dict[str, Any] | None = None

    def accuracy(self) -> dict[str, Any]:
        """What the training has gained by now, for its result and for the folder that is exported.

        Returns:
            "before" and "after" (each "epoch", "AP", "AP50", or None where it is not known), "better" (whether AP has
            grown; None where one of the two is not known), and on what that was measured.
        """
        after = None if self.ap is None else {"epoch": self.epochs, "AP": self.ap, "AP50": self.ap50}
        return {
            "before": self.before,
            "after": after,
            "better": after["AP"] > self.before["AP"] if after and self.before else None,
            "image_size": self.image_size,
            "validation_pictures": self.settings.get(VALIDATION_PICTURES),
        }


def write_progress(folder: Path, progress: Progress) -> None:
    """Write the file into a checkpoint, with the checksums of the files that are there; whole or not at all."""
    state = asdict(progress)
    others = [path for path in sorted(folder.iterdir()) if path.stem == folder.name and path.suffix != SUFFIX]
    state[CHECKSUMS] = {path.name: _sha256(path) for path in others}
    state[OWN_CHECKSUM] = _own_checksum(state)
    unfinished = folder / f".{folder.name}.part"
    unfinished.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    to_disk(unfinished)
    unfinished.replace(folder / f"{folder.name}{SUFFIX}")


def read_progress(folder: Path) -> Progress:
    """How far the training of a checkpoint was.

    Raises:
        CheckpointError: the file is missing or damaged, or of another version of this project.
    """
    path = folder / f"{folder.name}{SUFFIX}"
    return _progress(_read(path), path)


def check_files(folder: Path) -> None:
    """Compare a checkpoint's files with their checksums.

    Raises:
        CheckpointError: one is missing or damaged.
    """
    for name in _read(folder / f"{folder.name}{SUFFIX}").get(CHECKSUMS, {}):
        check_file(folder / name)


def check_file(path: Path) -> None:
    """Compare one file of a checkpoint with its checksum, if there is one.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    state = path.with_suffix(SUFFIX)
    wanted = _read(state).get(CHECKSUMS, {}).get(path.name) if state.is_file() else None
    if wanted is None:
        return
    if not path.is_file():
        raise CheckpointError(f"{path.parent} lacks its {path.name}")
    if _sha256(path) != wanted:
        raise CheckpointError(f"{path} is damaged: it is not what was saved, by its checksum in {state.name}")


def image_size_of(weights: Path) -> int | None:
    """The side in px at which weights were chosen, if they lie in a training's checkpoint.

    Raises:
        CheckpointError: the file beside them is damaged.
    """
    state = weights.with_suffix(SUFFIX)
    return _read(state).get("image_size") if state.is_file() else None


def labels_of(weights: Path) -> list[str] | None:
    """The class names that weights were trained for, if they lie in a training's checkpoint.

    Raises:
        CheckpointError: the file beside them is damaged.
    """
    state = weights.with_suffix(SUFFIX)
    return _read(state).get("labels") if state.is_file() else None


def accuracy_of(weights: Path) -> dict[str, Any] | None:
    """`Progress.accuracy` of weights that lie in a training's checkpoint; None if they do not, or were not evaluated.

    Raises:
        CheckpointError: the file beside them is damaged.
    """
    state = weights.with_suffix(SUFFIX)
    progress = _progress(_read(state), state) if state.is_file() else None
    return progress.accuracy() if progress is not None and progress.ap is not None else None


def _progress(state: dict[str, Any], path: Path) -> Progress:
    names = {field.name for field in fields(Progress)}
    missing = names - SINCE_LATER - state.keys()
    if missing:
        raise CheckpointError(f"{path} does not say how far the training is: {sorted(missing)[0]!r} is missing")
    return Progress(**{name: state[name] for name in names & state.keys()})


def _read(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        checksum, is_checked = state.get(OWN_CHECKSUM), CHECKSUMS in state or OWN_CHECKSUM in state
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not say how far the training is: {error}") from None
    if is_checked and checksum != _own_checksum(state):
        raise CheckpointError(f"{path} is damaged: it is not what was saved, by its own checksum")
    return state


def _own_checksum(state: dict[str, Any]) -> str:
    rest = {key: value for key, value in state.items() if key != OWN_CHECKSUM}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
