"""Trainings of some seconds, in this process and without an export at their end."""

from __future__ import annotations

from pathlib import Path

from training.coco_dataset import load_dataset
from training.config import load_config
from training.engine.checkpoint import checkpoints
from training.engine.loop import Training
from training.paths import ROOT

SMALL = ("image_size=64", "image_sizes=[]", "batch_size=4", "log_interval=1", "num_workers=0", "warmup_steps=0")


def training(dataset: Path, output: Path, epochs: int, *settings: str, model: str = "BlazeFace") -> Training:
    """One that has not begun; `settings` are those of `Train`."""
    output.mkdir(parents=True, exist_ok=True)
    paths = [f"Global.dataset_dir={dataset}", f"Global.output={output}", f"Train.epochs_iters={epochs}"]
    overrides = [*paths, *(f"Train.{setting}" for setting in (*SMALL, *settings))]
    config = load_config(ROOT / f"training/configs/{model}.yaml", overrides)
    return Training(config, load_dataset(dataset, config.Train.num_classes))


def train(dataset: Path, output: Path, epochs: int, *settings: str, model: str = "BlazeFace") -> Training:
    """One that has ended."""
    running = training(dataset, output, epochs, *settings, model=model)
    running.run()
    return running


def checkpoint_names(output: Path) -> list[str]:
    """The oldest first."""
    return [path.name for path in checkpoints(output)]
