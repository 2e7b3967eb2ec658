"""The sections of the configuration: the schema of `training/configs/*.yaml` and of `-o`."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from training.config_values import Section
from training.detectors import DETECTORS, get_detector
from training.paths import official_weights_file
from training.recipes import RECIPES
from tritonface_server.detector import Detector
from tritonface_server.limits import MAX_CLASSES, MAX_NETWORK_SIDE_PX, MIN_NETWORK_SIDE_PX

DEVICE = re.compile(r"cpu|gpu(:\d+(,\d+)*)?")
OFFICIAL_WEIGHTS = re.compile(r"https://.*/official_pretrained_model/(?P<name>[\w-]+)_pretrained\.pdparams")


def _device(setting: str) -> str:
    if not DEVICE.fullmatch(setting):
        raise ValueError(f"Global.device is {setting!r}; it should be cpu, gpu, or GPUs by number as gpu:0,1")
    return setting


def _local_weights(setting: str) -> str:
    """PaddleX's configurations name official weights by their address; here they are a file of `weights/official/`."""
    official = OFFICIAL_WEIGHTS.fullmatch(setting)
    if official:
        return str(official_weights_file(official["name"]))
    if "://" in setting:
        raise ValueError(f"the weights {setting} are an address; download them and name the file")
    return setting


ModelName = Literal[tuple(DETECTORS)]
RecipeName = Literal[tuple(RECIPES)]
Mode = Literal["check_dataset", "train", "evaluate", "export", "predict"]
Text = Annotated[str, Field(min_length=1)]
Device = Annotated[str, AfterValidator(_device)]
Weights = Annotated[Text, AfterValidator(_local_weights)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Classes = Annotated[int, Field(ge=1, le=MAX_CLASSES)]
Steps = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
Workers = Annotated[int, Field(ge=0, le=128)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]


class Global(Section):
    """What all modes share.

    Attributes:
        dataset_dir: the COCO data set: `images/`, `annotations/instance_train.json` and `instance_val.json`.
        device: `cpu`, `gpu` or `gpu:0,1`.
        output: the folder for everything that a mode writes.
        traceback: print where a failure arose, for those who look for its cause in the code.
    """

    model: ModelName
    mode: Mode = "check_dataset"
    dataset_dir: Text | None = None
    device: Device = "cpu"
    output: Text = "output"
    traceback: bool = False


class Split(Section):
    """Splitting the data set anew into training and validation pictures.

    Attributes:
        train_percent, val_percent: add up to 100; one of them may be null.
        seed: the same seed, percentages and pictures give the same split.
    """

    enable: bool = False
    train_percent: Percent | None = None
    val_percent: Percent | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _shares_make_sense(self) -> Split:
        train, val = self.train_percent, self.val_percent
        if None not in (train, val) and train + val != 100:
            raise ValueError(
                f"CheckDataset.split: train_percent is {train} and val_percent is {val}; they must add up to 100"
            )
        if self.enable and train is None and val is None:
            raise ValueError(
                "CheckDataset.split.enable is true; set CheckDataset.split.train_percent, to 90 for instance"
            )
        return self

    @property
    def train_share(self) -> int:
        """Percentage of training pictures."""
        return 100 - self.val_percent if self.train_percent is None else self.train_percent


class CheckDataset(Section):
    """Mode check_dataset."""

    split: Split = Split()


class Train(Section):
    """Mode train.

    Attributes:
        num_classes: categories with boxes in the data set, all of which are learned.
        recipe: how pictures are made to learn from, with which loss, and what the other settings are where nothing else
            is said; see `training.recipes`.
        epochs_iters: epochs.
        steps_per_epoch: an epoch ends after so many steps, with a part of the shuffled pictures; null for all of them.
        batch_size: pictures per step and device.
        learning_rate: after the warm-up.
        schedule: `piecewise` multiplies the rate by `gamma` at each epoch of `milestones`, `cosine` takes it to 0
            over `epochs_iters`.
        warmup_steps: steps of linear warm-up, from `warmup_start_factor` x learning_rate.
        decay_norm: weight decay on the scales and shifts of batch normalisation too.
        freeze_norm: keep the statistics of batch normalisation; null: when a training begins with given weights and
            has batches of fewer than 16 pictures per device.
        ema_decay: of the averaged weights; null for none.
        ema_cycle_epochs: the average starts anew after so many epochs; null for never.
        static_assigner_epochs: first epochs in which faces get their anchors by distance (ATSS), not by what the
            network predicts; only PP-YOLOE+ has both ways.
        momentum: beta1 of AdamW.
        max_faces: of a picture, the first ones, in the recipe `crowds` the largest ones; null for all.
        image_size: side of the network's square input, px; at it the weights are evaluated, exported and served.
        image_sizes: sides of multi-scale training, one drawn per batch; empty for `image_size` alone.
        pretrain_weight_path: weights to begin with, .safetensors or .pdparams; null for random ones.
        resume_path: the output folder of a training, or one of its checkpoints, to go on from.
        log_interval: steps.
        eval_interval, save_interval: epochs.
        num_workers: threads that read and augment pictures; 0 for the one that trains.
    """

    num_classes: Classes
    recipe: RecipeName
    epochs_iters: Count
    steps_per_epoch: Count | None
    batch_size: Count
    optimizer: Literal["momentum", "rmsprop", "adamw"]
    learning_rate: Positive
    momentum: Fraction
    weight_decay: NotNegative
    schedule: Literal["piecewise", "cosine"]
    milestones: list[Count]
    gamma: Positive
    warmup_steps: Steps
    warmup_start_factor: Fraction
    decay_norm: bool
    freeze_norm: bool | None
    ema_decay: Fraction | None
    ema_cycle_epochs: Count | None
    static_assigner_epochs: Steps | None
    max_faces: Count | None
    image_size: Count
    image_sizes: list[Count]
    pretrain_weight_path: Weights | None = None
    resume_path: Text | None = None
    log_interval: Count = 10
    eval_interval: Count = 1
    save_interval: Count = 1
    num_workers: Workers = 2
    seed: Seed = 0

    @model_validator(mode="after")
    def _milestones_ascend(self) -> Train:
        if any(earlier >= later for earlier, later in pairwise(self.milestones)):
            raise ValueError(f"Train.milestones is {self.milestones}; the epochs have to ascend")
        return self


class Evaluate(Section):
    """Mode evaluate; `weight_path` is a .safetensors, .pdparams or .onnx file, null for the shipped weights.

    `served_url` measures what a server serves instead, as `served_model` (null: under the detector's own name).
    `image_size` is the side in px to which the network sees every photo stretched; null for that of the weights'
    training, or the detector's own.
    """

    weight_path: Weights | None = "output/best_model/best_model.pdparams"
    served_url: Text | None = None
    served_model: Text | None = None
    image_size: Count | None = None
    log_interval: Count = 10


class Export(Section):
    """Mode export; `weight_path` is a .safetensors or .pdparams file or a training's folder, null for the shipped."""

    weight_path: Weights | None = "output/best_model/best_model.pdparams"


class Predict(Section):
    """Mode predict.

    Attributes:
        model_dir: an exported folder; null for the shipped one.
        input: a picture, a folder of them (with its sub-folders), or a list of both.
        batch_size: pictures in one run of the network.
        threshold: scores <= this are dropped; null for the exported folder's own.
    """

    model_dir: Text | None = "output/best_model/inference"
    input: Text | list[Text] | None = None
    batch_size: Count = 1
    threshold: Fraction | None = None


class Config(Section):
    """All sections, named as in the YAML files."""

    Global: Global
    CheckDataset: CheckDataset
    Train: Train
    Evaluate: Evaluate
    Export: Export
    Predict: Predict

    @model_validator(mode="after")
    def _fits_the_detector(self) -> Config:
        detector, train = get_detector(self.Global.model), self.Train
        _check_sizes(detector, "Train.image_size", [train.image_size], train.image_size)
        _check_sizes(detector, "Train.image_sizes", train.image_sizes, train.image_sizes)
        if self.Evaluate.image_size is not None:
            _check_sizes(detector, "Evaluate.image_size", [self.Evaluate.image_size], self.Evaluate.image_size)
        if train.static_assigner_epochs is not None and not detector.static_assigner:
            raise ValueError(
                f"Train.static_assigner_epochs is {train.static_assigner_epochs}; {detector.name} has one way to "
                "assign anchors to faces, so it has to be null"
            )
        return self


def _check_sizes(detector: Detector, key: str, sides_px: list[int], shown: object) -> None:
    multiple = detector.size_multiple
    if any(not MIN_NETWORK_SIDE_PX <= side <= MAX_NETWORK_SIDE_PX or side % multiple for side in sides_px):
        raise ValueError(
            f"{key} is {shown}; {detector.name} takes sides from {MIN_NETWORK_SIDE_PX} to {MAX_NETWORK_SIDE_PX} px"
            + (f" that are multiples of {multiple}" if multiple > 1 else "")
        )
