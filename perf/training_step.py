"""Where the time of a training step goes, in seconds per picture, for every detector.

python -m perf.training_step [--recipe NAME] [--dataset FOLDER] [--side PX] [--batch N] [--steps N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import paddle

from training.coco_dataset import IMAGES, load_dataset
from training.config import Train, load_config
from training.detectors import DETECTORS, build_detector, get_detector
from training.engine.devices import use_device
from training.engine.ema import ExponentialMovingAverage
from training.engine.optimiser import build_optimiser
from training.engine.reader import Request, TrainingPictures
from training.engine.training_step import TrainingStep, loss_of_epoch
from training.losses import Targets
from training.paths import ROOT
from training.recipes import RECIPES
from tritonface_server.images import INTERPOLATIONS, limit_threads

CONFIGS = ROOT / "training" / "configs"
PICTURES = 100  # read, where there is a data set
PARTS = ("forward", "loss", "backward", "optimiser", "averaging")
FACES = 5  # per picture


def measure(name: str, train: Train, side_px: int, batch: int, steps: int) -> dict[str, float]:
    """Median seconds per picture of each part, on random pictures; the first step does not count."""
    network = build_detector(name)
    step = TrainingStep(network, get_detector(name), loss_of_epoch(get_detector(name), train, train.epochs_iters))
    optimiser, average = build_optimiser(network, train), ExponentialMovingAverage(network, 0.9998)
    step.train()
    pictures, targets = _random_batch(side_px, batch)
    times_s: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(steps + 1):
        marks_s = [time.perf_counter()]
        outputs = network.outputs(step.pictures.normalised(pictures))
        marks_s.append(time.perf_counter())
        loss = step.loss(outputs, targets)["loss"]
        marks_s.append(time.perf_counter())
        loss.backward()
        marks_s.append(time.perf_counter())
        optimiser.set_lr(1e-5)
        optimiser.step()
        optimiser.clear_grad()
        marks_s.append(time.perf_counter())
        average.update(network)
        marks_s.append(time.perf_counter())
        for part, start_s, end_s in zip(PARTS, marks_s, marks_s[1:]):
            times_s[part].append((end_s - start_s) / batch)
    return {part: statistics.median(values[1:]) for part, values in times_s.items()}


def measure_reading(name: str, train: Train, dataset: Path, side_px: int) -> float:
    """Mean seconds in which one thread reads and augments a picture."""
    limit_threads(1)
    pictures = TrainingPictures(dataset / IMAGES, load_dataset(dataset)["train"].images, get_detector(name), train)
    interpolation = INTERPOLATIONS[get_detector(name).interpolation]
    start_s = time.perf_counter()
    for number in range(PICTURES):
        pictures.sample(Request(number, number % len(pictures), side_px, interpolation))
    return (time.perf_counter() - start_s) / PICTURES


def _random_batch(side_px: int, batch: int) -> tuple[paddle.Tensor, Targets]:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (batch, side_px, side_px, 3), np.uint8)
    corners = rng.uniform(0, 0.75 * side_px, (batch, FACES, 2))
    sizes = rng.uniform(0.05 * side_px, 0.25 * side_px, (batch, FACES, 2))
    boxes = np.concatenate([corners, corners + sizes], axis=-1).astype(np.float32)
    return paddle.to_tensor(pictures), Targets.of_faces(list(boxes), (side_px, side_px))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m perf.training_step", description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=320, metavar="PX")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--recipe", choices=RECIPES, default="reference")
    parser.add_argument("--dataset", type=Path, metavar="FOLDER", help="one more column: reading a picture of it")
    options = parser.parse_args()
    use_device("cpu")
    columns = [*PARTS, "sum", *(["reading, one thread"] if options.dataset else [])]
    print(f"| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name in DETECTORS:
        settings = [f"Train.recipe={options.recipe}", f"Train.image_size={options.side}", "Train.image_sizes=[]"]
        train = load_config(CONFIGS / f"{name}.yaml", settings).Train
        seconds = list(measure(name, train, options.side, options.batch, options.steps).values())
        shown = [*(f"{value:.3f}" for value in seconds), f"{sum(seconds):.2f}"]
        if options.dataset:
            shown.append(f"{measure_reading(name, train, options.dataset, options.side):.3f}")
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
