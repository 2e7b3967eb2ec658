"""The loop: epochs of steps on one device, an evaluation and a checkpoint after each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import paddle

from training.coco_dataset import IMAGES, CocoSplit
from training.config import Config
from training.detectors import build_detector, get_detector
from training.engine import stop
from training.engine.average import WeightAverage
from training.engine.checkpoint import (
    BEST,
    Checkpoint,
    CheckpointError,
    Progress,
    epoch_folder,
    find_checkpoint,
    load_checkpoint,
    prune,
    recover_folder,
    save_checkpoint,
)
from training.engine.journal import Journal
from training.engine.optimiser import build_optimiser, freeze_norms, optimiser_arrays, set_optimiser_arrays
from training.engine.reader import EpochBatches, Tensors, TrainingPictures, read_epoch
from training.engine.schedule import build_schedule
from training.engine.step import TrainingStep, loss_of_epoch
from training.evaluation.coco import evaluate_coco
from training.evaluation.detect import Detect, Faces, InProcess
from training.evaluation.evaluate import detect_all
from training.networks.pictures import as_function
from training.weight_files import load_weights_of
from training.weights import set_weights
from tritonface_server.in_process import InProcessDetector


class Interruptible:
    """Detects as another does, unless the training is to stop."""

    def __init__(self, detect: Detect) -> None:
        self.detect, self.size_wh, self.source = detect, detect.size_wh, detect.source

    def __call__(self, photo: Path) -> Faces:
        stop.check()
        return self.detect(photo)


class DivergedError(RuntimeError):
    """A loss that is no number any more."""


class Training:
    """All that moves while a detector learns, on one of several devices.

    Args:
        splits: "train" to learn from, "val" to be judged by.
        rank, devices: which of how many processes this is; the first one evaluates and writes.

    Raises:
        DatasetError, WeightsError, CheckpointError: the pictures, the weights or the checkpoint are of no use.
    """

    def __init__(self, config: Config, splits: dict[str, CocoSplit], rank: int = 0, devices: int = 1) -> None:
        self.config, self.rank, self.devices = config, rank, devices
        train, self.detector = config.Train, get_detector(config.Global.model)
        self.images, self.output = Path(config.Global.dataset_dir) / IMAGES, Path(config.Global.output)
        self.val = splits["val"]
        paddle.seed(train.seed)
        self.network = build_detector(self.detector.name)
        if train.pretrain_weight_path and not train.resume_path:
            load_weights_of(self.network, Path(train.pretrain_weight_path))
        self.pictures = TrainingPictures(self.images, splits["train"].images, self.detector, train)
        self.batches = EpochBatches(len(self.pictures), self.detector, train, rank, devices)
        self.schedule = build_schedule(train, len(self.batches))
        self.optimiser = build_optimiser(self.network, train)
        self.average: WeightAverage | None = None
        self.progress = Progress(self.detector.name)
        restored = self._restore(Path(train.resume_path)) if train.resume_path else None
        if train.ema_decay is not None:
            self.average = WeightAverage(self.network, train.ema_decay, train.ema_cycle_epochs)
            if restored is not None:
                self.average.restore(restored.weights, self.progress.average_updates)
        self.step = TrainingStep(self.network, self.detector, loss_of_epoch(self.detector, train, 0))

    def run(self) -> None:
        """Train to the last epoch.

        Raises:
            DivergedError: a loss is no finite number; what was saved before stays.
        """
        batch = self.batches.size * self.devices
        per_epoch = len(self.batches) * batch
        forward = paddle.DataParallel(self.step, find_unused_parameters=True) if self.devices > 1 else self.step
        if self.rank:
            for epoch in range(self.progress.epochs, self.config.Train.epochs_iters):
                self._run_epoch(forward, epoch, None)
                paddle.distributed.barrier()
            return
        with Journal(
            self.output,
            pictures=self.config.Train.epochs_iters * per_epoch,
            seen=self.progress.epochs * per_epoch,
            epochs=self.config.Train.epochs_iters,
            log_interval=self.config.Train.log_interval,
        ) as journal:
            for epoch in range(self.progress.epochs, self.config.Train.epochs_iters):
                self._run_epoch(forward, epoch, journal)
                self._end_epoch(epoch + 1, journal)
                if self.devices > 1:
                    paddle.distributed.barrier()

    def _run_epoch(self, forward: paddle.nn.Layer, epoch: int, journal: Journal | None) -> None:
        self.batches.epoch = epoch
        self.step.loss = loss_of_epoch(self.detector, self.config.Train, epoch)
        self.step.train()
        if self.config.Train.freeze_norm:
            freeze_norms(self.network)
        with closing(read_epoch(self.pictures, self.batches)) as batches:
            self._run_steps(forward, epoch, batches, journal)
        if self.average is not None:
            self.average.end_epoch(epoch + 1, self.network)

    def _run_steps(
        self, forward: paddle.nn.Layer, epoch: int, batches: Iterable[Tensors], journal: Journal | None
    ) -> None:
        first = epoch * len(self.batches)
        for step, (pictures, boxes, labels) in enumerate(batches, first):
            stop.check()
            learning_rate = self.schedule(step)
            losses = forward(pictures, boxes, labels)
            values = {name: float(value) for name, value in losses.items()}
            if not math.isfinite(values["loss"]):
                raise self._diverged(epoch, step, values["loss"], learning_rate)
            losses["loss"].backward()
            self.optimiser.set_lr(learning_rate)
            self.optimiser.step()
            self.optimiser.clear_grad()
            if self.average is not None:
                self.average.update(self.network)
            if journal is not None:
                of_epoch = f"{step - first + 1}/{len(self.batches)}"
                journal.step(epoch + 1, step + 1, of_epoch, values, learning_rate, len(pictures) * self.devices)

    def _end_epoch(self, epochs: int, journal: Journal) -> None:
        """Evaluate and save what is due after so many epochs."""
        train, last = self.config.Train, epochs == self.config.Train.epochs_iters
        best_ap, best_epoch, ap = self.progress.best_ap, self.progress.best_epoch, None
        if last or epochs % train.eval_interval == 0:
            figures = self._evaluate()
            ap = figures["AP"]
            if best_ap is None or ap > best_ap:
                best_ap, best_epoch = ap, epochs
            journal.evaluated(epochs, epochs * len(self.batches), figures, best=best_epoch == epochs)
        updates = self.average.updates if self.average is not None else 0
        steps = epochs * len(self.batches)
        self.progress = Progress(self.detector.name, epochs, steps, ap, best_ap, best_epoch, updates)
        if best_epoch == epochs:
            save_checkpoint(self.output / BEST, self._checkpoint())
        if last or epochs % train.save_interval == 0:
            save_checkpoint(epoch_folder(self.output, epochs), self._checkpoint())
            prune(self.output)

    def _evaluate(self) -> dict[str, float]:
        """COCO's figures of the averaged weights, or of the weights themselves, on the validation pictures."""
        judged = build_detector(self.detector.name)
        judged.set_state_dict(self.average.values if self.average is not None else self.network.state_dict())
        side_px = self.config.Train.image_size
        judge = InProcessDetector(self.detector, as_function(judged, self.detector), (side_px, side_px))
        detections, _ = detect_all(Interruptible(InProcess(judge, "paddle")), self.val, self.images)
        return evaluate_coco(self.val, detections)

    def _checkpoint(self) -> Checkpoint:
        moving = {name: value.numpy() for name, value in self.network.state_dict().items()}
        optimiser = optimiser_arrays(self.optimiser, self.network)
        if self.average is None:
            return Checkpoint(moving, None, optimiser, self.progress)
        return Checkpoint(self.average.arrays(), moving, optimiser, self.progress)

    def _restore(self, resume_path: Path) -> Checkpoint:
        recover_folder(self.output / BEST)
        checkpoint = load_checkpoint(find_checkpoint(resume_path), self.detector.name)
        set_weights(self.network, checkpoint.weights if checkpoint.moving is None else checkpoint.moving)
        set_optimiser_arrays(self.optimiser, self.network, checkpoint.optimiser)
        self.progress = checkpoint.progress
        if not (self.output / BEST).is_dir():  # going on in another folder, whose best is still to come
            self.progress = replace(self.progress, best_ap=None, best_epoch=None)
            if self.progress.epochs >= self.config.Train.epochs_iters:
                raise CheckpointError(
                    f"{resume_path} has done {self.progress.epochs} epochs and Train.epochs_iters is "
                    f"{self.config.Train.epochs_iters}: nothing is left to train; set more epochs"
                )
        return checkpoint

    def _diverged(self, epoch: int, step: int, loss: float, learning_rate: float) -> DivergedError:
        saved = f"; {self.output} keeps the checkpoints of before" if self.progress.epochs else ""
        return DivergedError(
            f"the loss is {loss} at step {step + 1}, in epoch {epoch + 1}, with a learning rate of {learning_rate:.3g}"
            f"; lower Train.learning_rate, which suits Train.batch_size, or lengthen Train.warmup_steps{saved}"
        )
