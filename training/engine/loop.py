"""The loop: epochs of steps on one device, a checkpoint and an evaluation after each."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle

from training.coco_dataset import IMAGES, CocoSplit
from training.config import Config
from training.detectors import get_detector
from training.engine import stop
from training.engine.checkpoint import BEST, START, Checkpoint, epoch_folder, prune, save_checkpoint
from training.engine.divergence import check_loss, check_weights
from training.engine.ema import ExponentialMovingAverage
from training.engine.epoch_log import EpochLog
from training.engine.lr_schedule import build_schedule
from training.engine.memory import check_memory
from training.engine.optimiser import (
    FROZEN_BELOW,
    build_optimiser,
    freeze_norms,
    freezes_norms,
    optimiser_arrays,
    set_optimiser_arrays,
)
from training.engine.outcome import tell_outcome
from training.engine.reader import EpochBatches, Tensors, TrainingPictures, read_epoch
from training.engine.resume import best_so_far, check_classes, comparable, resume, settings_of, tell_differences
from training.engine.training_step import TrainingStep, loss_of_epoch
from training.evaluation.coco import evaluate_classes
from training.evaluation.detect import Detect, InProcess, checked
from training.evaluation.evaluate import detect_all
from training.networks.pictures import as_function
from training.progress import CheckpointError, Progress, write_progress
from training.weight_files import begin_with
from training.weights import set_weights
from tritonface_server.detections import Detections
from tritonface_server.in_process import InProcessDetector

LOG = logging.getLogger(__name__)


class Interruptible:
    """Detects as another does, unless the training is to stop."""

    def __init__(self, detect: Detect) -> None:
        self.detect, self.size_wh, self.source, self.labels = detect, detect.size_wh, detect.source, detect.labels

    def __call__(self, photo: Path) -> Detections:
        stop.check()
        return self.detect(photo)


class Training:
    """All that moves while a detector learns, on one of several devices.

    Args:
        splits: "train" to learn from, "val" to be judged by.
        rank, devices: which of how many processes this is; the first one evaluates and writes.

    Attributes:
        progress: of the training.
        best: the progress at its best epoch so far; None before the first evaluation.
        to_be_compared: whether the weights at hand are those that later ones have to be better than.

    Raises:
        DatasetError, WeightsError, CheckpointError: the pictures, the weights or the checkpoint are of no use.
    """

    def __init__(self, config: Config, splits: dict[str, CocoSplit], rank: int = 0, devices: int = 1) -> None:
        self.config, self.rank, self.devices = config, rank, devices
        train, labels = config.Train, splits["train"].class_names
        self.detector = replace(get_detector(config.Global.model), labels=labels)
        self.images, self.output = Path(config.Global.dataset_dir) / IMAGES, Path(config.Global.output)
        self.val = splits["val"]
        paddle.seed(train.seed)
        self.network, self.judged = (self.detector.build_network(len(labels)) for _ in range(2))
        if train.pretrain_weight_path and not train.resume_path:
            begin_with(self.network, Path(train.pretrain_weight_path), self.detector)
        self.pictures = TrainingPictures(self.images, splits["train"].images, self.detector, train)
        self.batches = EpochBatches(len(self.pictures), self.detector, train, rank, devices)
        self.schedule = build_schedule(train, len(self.batches))
        self.optimiser = build_optimiser(self.network, train)
        self.average: ExponentialMovingAverage | None = None
        self.best: Progress | None = None
        pretrained = bool(train.pretrain_weight_path)
        self.progress = Progress(
            self.detector.name,
            uuid.uuid4().hex,
            train.image_size,
            settings=settings_of(train, splits),
            labels=list(labels),
            pretrained=pretrained,
        )
        self.to_be_compared = pretrained
        restored = resume(Path(train.resume_path), self.output, self.detector.name) if train.resume_path else None
        if restored is not None:
            check_classes(restored.progress, labels)
            self._restore(restored)
        if train.ema_decay is not None:
            self.average = ExponentialMovingAverage(self.network, train.ema_decay, train.ema_cycle_epochs)
            if restored is not None:
                self.average.restore(restored.weights, self.progress.average_updates)
        self.restored = restored
        self.step = TrainingStep(self.network, self.detector, loss_of_epoch(self.detector, train, 0))

    def run(self) -> None:
        """Train to the last epoch.

        Raises:
            ConfigError: a step needs more memory than there is.
            DivergedError: losses or weights are no longer of use; what was saved before stays.
        """
        epochs = range(self.progress.epochs, self.config.Train.epochs_iters)
        forward = paddle.DataParallel(self.step, find_unused_parameters=True) if self.devices > 1 else self.step
        if self.rank:
            for epoch in epochs:
                self._run_epoch(forward, epoch, None)
                paddle.distributed.barrier()
            return
        per_epoch = len(self.batches) * self.batches.size * self.devices
        with EpochLog(
            self.output,
            pictures=self.config.Train.epochs_iters * per_epoch,
            seen=self.progress.epochs * per_epoch,
            epochs=self.config.Train.epochs_iters,
            log_interval=self.config.Train.log_interval,
        ) as epoch_log:
            if self.config.Global.device == "cpu":  # a GPU says itself what it lacks
                check_memory(self.detector, self.config.Train, self.batches.size)
            self._begin(epoch_log)
            for epoch in epochs:
                self._run_epoch(forward, epoch, epoch_log)
                self._end_epoch(epoch + 1, epoch_log)
                if self.devices > 1:
                    paddle.distributed.barrier()
            if self.best is not None:
                tell_outcome(self.best, self.output)

    def _begin(self, epoch_log: EpochLog) -> None:
        """Measure what the training begins with, and catch up with what an interruption left undone."""
        done = self.progress.epochs >= self.config.Train.epochs_iters
        if self.restored is not None:
            tell_differences(self.output, self.restored.progress, self.progress.settings)
            if done and self.best is None and self.progress.ap is not None:
                raise CheckpointError(
                    f"{self.config.Train.resume_path} has done {self.progress.epochs} epochs and Train.epochs_iters is "
                    f"{self.config.Train.epochs_iters}: nothing is left to train; set more epochs"
                )
        if self.config.Train.freeze_norm is None and freezes_norms(self.config.Train, self.progress.pretrained):
            LOG.info(
                "batch normalisation keeps the statistics of the weights it begins with, as batches of %d pictures are "
                "under %d; Train.freeze_norm=false learns them anew",
                *(self.config.Train.batch_size, FROZEN_BELOW),
            )
        if self.to_be_compared:
            self._judge_start(epoch_log)
        if self.progress.epochs and self.progress.ap is None and self._evaluation_due():
            self._evaluate(epoch_log)
        if done:
            self._save()  # the checkpoint gone on from, which may be of another folder

    def _run_epoch(self, forward: paddle.nn.Layer, epoch: int, epoch_log: EpochLog | None) -> None:
        self.batches.epoch = epoch
        self.step.loss = loss_of_epoch(self.detector, self.config.Train, epoch)
        self.step.train()
        if freezes_norms(self.config.Train, self.progress.pretrained):
            freeze_norms(self.network)
        with closing(read_epoch(self.pictures, self.batches)) as batches:
            self._run_steps(forward, epoch, batches, epoch_log)
        if self.average is not None:
            self.average.end_epoch(epoch + 1, self.network)

    def _run_steps(
        self, forward: paddle.nn.Layer, epoch: int, batches: Iterable[Tensors], epoch_log: EpochLog | None
    ) -> None:
        first = epoch * len(self.batches)
        for step, batch in enumerate(batches, first):
            stop.check()
            learning_rate = self.schedule(step)
            losses = forward(*batch)
            values = {name: float(value) for name, value in losses.items()}
            if self.progress.first_loss is None:
                self.progress = replace(self.progress, first_loss=values["loss"])
            check_loss(values["loss"], self.progress, f"step {step + 1}, in epoch {epoch + 1}", learning_rate)
            losses["loss"].backward()
            self.optimiser.set_lr(learning_rate)
            self.optimiser.step()
            self.optimiser.clear_grad()
            if self.average is not None:
                self.average.update(self.network)
            if epoch_log is not None:
                of_epoch = f"{step - first + 1}/{len(self.batches)}"
                epoch_log.step(epoch + 1, step + 1, of_epoch, values, learning_rate, len(batch[0]) * self.devices)

    def _end_epoch(self, epochs: int, epoch_log: EpochLog) -> None:
        """Save and evaluate what is due after so many epochs.

        Saving comes first, and if an evaluation fails that follows no saving, it comes then: no epoch is lost.
        """
        updates = self.average.updates if self.average is not None else 0
        steps = epochs * len(self.batches)
        self.progress = replace(self.progress, epochs=epochs, steps=steps, ap=None, ap50=None, average_updates=updates)
        check_weights(self._weights(), self.progress)
        saved = epochs == self.config.Train.epochs_iters or epochs % self.config.Train.save_interval == 0
        if saved:
            self._save()
        if self._evaluation_due():
            try:
                self._evaluate(epoch_log)
            except BaseException:
                if not saved:
                    self._save()
                raise

    def _evaluation_due(self) -> bool:
        train, epochs = self.config.Train, self.progress.epochs
        return epochs == train.epochs_iters or epochs % train.eval_interval == 0

    def _judge_start(self, epoch_log: EpochLog) -> None:
        """Measure the weights that there are before the first step, and keep them for who wants them back."""
        figures, _ = self._measure()
        judged = replace(self.progress, ap=figures["AP"], ap50=figures["AP50"], before=None)
        save_checkpoint(self.output / START, Checkpoint(self._weight_arrays(), None, {}, judged))
        self.progress = replace(self.progress, before=judged.accuracy()["after"])
        epoch_log.began(self.progress.steps, figures)

    def _measure(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """COCO's figures, and those of each class, of the averaged weights, or the weights themselves."""
        self.judged.set_state_dict(self._weights())
        side_px = self.config.Train.image_size
        network = checked(as_function(self.judged, self.detector))
        judge = InProcessDetector(self.detector, network, (side_px, side_px))
        detections, _ = detect_all(Interruptible(InProcess(judge, "paddle")), self.val, self.images)
        return evaluate_classes(self.val, detections)

    def _evaluate(self, epoch_log: EpochLog) -> None:
        """Measure the epoch's weights and keep the best."""
        figures, by_class = self._measure()
        self.progress = replace(self.progress, ap=figures["AP"], ap50=figures["AP50"])
        is_best = self.best is None or figures["AP"] > self.best.ap
        if is_best:
            self.best = self.progress
            save_checkpoint(self.output / BEST, self._checkpoint())
        folder = epoch_folder(self.output, self.progress.epochs)
        if folder.is_dir():
            write_progress(folder, self.progress)
        steps, before = self.progress.steps, self.progress.before
        epoch_log.evaluated(self.progress.epochs, steps, figures, by_class, is_best, before)

    def _save(self) -> None:
        save_checkpoint(epoch_folder(self.output, self.progress.epochs), self._checkpoint())
        prune(self.output, self.progress.epochs)

    def _weights(self) -> dict[str, paddle.Tensor]:
        """Those to evaluate and export."""
        return self.average.values if self.average is not None else self.network.state_dict()

    def _weight_arrays(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self._weights().items()}

    def _checkpoint(self) -> Checkpoint:
        moving = {name: value.numpy() for name, value in self.network.state_dict().items()}
        optimiser = optimiser_arrays(self.optimiser, self.network)
        return Checkpoint(self._weight_arrays(), moving if self.average is not None else None, optimiser, self.progress)

    def _restore(self, checkpoint: Checkpoint) -> None:
        set_weights(self.network, checkpoint.weights if checkpoint.moving is None else checkpoint.moving)
        set_optimiser_arrays(self.optimiser, self.network, checkpoint.optimiser, self.config.Train.optimizer)
        now, before = self.progress, checkpoint.progress.before
        self.to_be_compared = not comparable(checkpoint.progress.settings, now.settings)
        self.progress = replace(
            checkpoint.progress,
            image_size=now.image_size,
            settings=now.settings,
            labels=now.labels,
            before=None if self.to_be_compared else before,
        )
        self.best = best_so_far(self.output, self.progress)
