"""The settings of the command line: the dataclasses below are the schema of `training/configs/*.yaml` and of `-o`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from training.config_values import Bounds, ConfigError, build, parse_override, parse_yaml, set_override
from tritonface_server.detectors import DETECTORS, get_detector

ModelName = Literal[tuple(DETECTORS)]
Mode = Literal["check_dataset", "train", "evaluate", "export", "predict"]
Count = Annotated[int, Bounds(1)]
Steps = Annotated[int, Bounds(0)]
Positive = Annotated[float, Bounds(0, exclusive=True)]
NotNegative = Annotated[float, Bounds(0)]
Fraction = Annotated[float, Bounds(0, 1)]
DEVICE = re.compile(r"cpu|gpu(:\d+(,\d+)*)?")
Percent = Annotated[int, Bounds(0, 100)]


@dataclass(frozen=True)
class Global:
    """What all modes share.

    Attributes:
        dataset_dir: the COCO data set: `images/`, `annotations/instance_train.json` and `instance_val.json`.
        device: `cpu`, `gpu` or `gpu:0,1`.
        output: the folder for everything that a mode writes.
        traceback: print where a failure arose, for those who look for its cause in the code.
    """

    model: ModelName
    mode: Mode = "check_dataset"
    dataset_dir: str | None = None
    device: str = "cpu"
    output: str = "output"
    traceback: bool = False

    def __post_init__(self) -> None:
        if not DEVICE.fullmatch(self.device):
            raise ConfigError(f"Global.device is {self.device!r}; expected cpu, gpu, or GPUs by number as gpu:0,1")


@dataclass(frozen=True)
class Split:
    """Splitting the data set anew into training and validation pictures.

    Attributes:
        train_percent, val_percent: add up to 100; one of them may be null.
        seed: the same seed, percentages and pictures give the same split.
    """

    enable: bool = False
    train_percent: Percent | None = None
    val_percent: Percent | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        train, val = self.train_percent, self.val_percent
        if None not in (train, val) and train + val != 100:
            raise ConfigError(
                f"CheckDataset.split: train_percent is {train} and val_percent is {val}; they must add up to 100"
            )
        if self.enable and train is None and val is None:
            raise ConfigError(
                "CheckDataset.split.enable is true; set CheckDataset.split.train_percent, to 90 for instance"
            )

    @property
    def train_share(self) -> int:
        """Percentage of training pictures."""
        return 100 - self.val_percent if self.train_percent is None else self.train_percent


@dataclass(frozen=True)
class CheckDataset:
    """Mode check_dataset."""

    split: Split


@dataclass(frozen=True)
class Train:
    """Mode train.

    Attributes:
        epochs_iters: epochs.
        steps_per_epoch: an epoch ends after so many steps, with a part of the shuffled pictures; null for all of them.
        batch_size: pictures per step and device.
        learning_rate: after the warm-up.
        schedule: `piecewise` multiplies the rate by `gamma` at each epoch of `milestones`, `cosine` takes it to 0
            over `epochs_iters`.
        warmup_steps: steps of linear warm-up, from `warmup_start_factor` x learning_rate.
        decay_norm: weight decay on the scales and shifts of batch normalisation too.
        freeze_norm: keep the statistics of batch normalisation, for fine-tuning with small batches.
        ema_decay: of the averaged weights; null for none.
        ema_cycle_epochs: the average starts anew after so many epochs; null for never.
        static_assigner_epochs: first epochs in which faces get their anchors by distance (ATSS), not by what the
            network predicts; only PP-YOLOE+ has both ways.
        max_faces: of a picture, the first ones; null for all.
        image_size: side of the network's square input, px; also that of the evaluation while training.
        image_sizes: sides of multi-scale training, one drawn per batch; empty for `image_size` alone.
        pretrain_weight_path: weights to begin with, .safetensors or .pdparams; null for random ones.
        resume_path: the output folder of a training, or one of its checkpoints, to go on from.
        log_interval: steps.
        eval_interval, save_interval: epochs.
        num_workers: processes that read and augment pictures; 0 for the training process itself.
    """

    num_classes: Annotated[int, Bounds(1, 1)]
    epochs_iters: Count
    steps_per_epoch: Count | None
    batch_size: Count
    optimizer: Literal["momentum", "rmsprop"]
    learning_rate: Positive
    momentum: Fraction
    weight_decay: NotNegative
    schedule: Literal["piecewise", "cosine"]
    milestones: list[Count]
    gamma: Positive
    warmup_steps: Steps
    warmup_start_factor: Fraction
    decay_norm: bool
    freeze_norm: bool
    ema_decay: Fraction | None
    ema_cycle_epochs: Count | None
    static_assigner_epochs: Steps | None
    max_faces: Count | None
    image_size: Count
    image_sizes: list[Count]
    pretrain_weight_path: str | None = None
    resume_path: str | None = None
    log_interval: Count = 10
    eval_interval: Count = 1
    save_interval: Count = 1
    num_workers: Steps = 2
    seed: int = 0


@dataclass(frozen=True)
class Evaluate:
    """Mode evaluate; `weight_path` is a .safetensors, .pdparams or .onnx file, null for the shipped weights.

    `served_url` measures what a server serves instead, as `served_model` (null: under the detector's own name).
    `image_size` is the side in px to which the network sees every photo stretched; null for the detector's own.
    """

    weight_path: str | None = "output/best_model/best_model.pdparams"
    served_url: str | None = None
    served_model: str | None = None
    image_size: Count | None = None
    log_interval: Count = 10


@dataclass(frozen=True)
class Export:
    """Mode export; `weight_path` is a .safetensors or .pdparams file, or the folder of a training."""

    weight_path: str = "output/best_model/best_model.pdparams"


@dataclass(frozen=True)
class Predict:
    """Mode predict.

    Attributes:
        model_dir: an exported folder.
        input: a picture, a folder of them (with its sub-folders), or a list of both.
        batch_size: pictures in one run of the network.
        threshold: scores <= this are dropped; null for the exported folder's own.
    """

    model_dir: str = "output/best_model/inference"
    input: str | list[str] | None = None
    batch_size: Count = 1
    threshold: Fraction | None = None


@dataclass(frozen=True)
class Config:
    """All sections, named as in the YAML files."""

    Global: Global
    CheckDataset: CheckDataset
    Train: Train
    Evaluate: Evaluate
    Export: Export
    Predict: Predict

    def __post_init__(self) -> None:
        multiple = get_detector(self.Global.model).size_multiple
        for key in ("image_size", "image_sizes"):
            value = getattr(self.Train, key)
            if any(side % multiple for side in (value if isinstance(value, list) else [value])):
                raise ConfigError(f"Train.{key} is {value}; {self.Global.model} takes multiples of {multiple} px")


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """The settings of a YAML file with `Section.key=value` overrides, the last of equal keys winning.

    Raises:
        ConfigError: an unreadable file, or an unknown key or unsuitable value, with what would be right.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    tree = parse_yaml(text, str(path))
    for override in overrides:
        keys, value = parse_override(Config, override)
        set_override(tree, keys, value)
    return build(Config, tree)
