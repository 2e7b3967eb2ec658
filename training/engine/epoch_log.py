"""The log of steps and epochs: a progress bar, `train.log`, and curves for TensorBoard."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from training.engine.scalars import ScalarFile

LOG = logging.getLogger("training")
LOG_FILE, CURVES = "train.log", "tensorboard"


class LogFile(logging.FileHandler):
    """A log file that gives up with a word, instead of tracebacks, when it cannot be written: on a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        LOG.removeHandler(self)
        LOG.warning("%s ends here, the training goes on: %s", self.baseFilename, sys.exc_info()[1])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class EpochLog:
    """Usable as a context manager; the first process of a training keeps one.

    A full disk ends the log and the curves, not the training: a checkpoint may still find room.

    Args:
        output: receives `LOG_FILE` and `CURVES`.
        pictures: of the whole training; `seen` of them are behind it.
        log_interval: steps between two lines of the log.
    """

    def __init__(self, output: Path, *, pictures: int, seen: int, epochs: int, log_interval: int) -> None:
        self.log_interval, self.epochs = log_interval, epochs
        self._file = LogFile(output / LOG_FILE, mode="a" if seen else "w", encoding="utf-8")
        self._file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        LOG.addHandler(self._file)
        self._curves: ScalarFile | None = ScalarFile(output / CURVES)
        self._bar = tqdm(total=pictures, initial=seen, unit=" pictures", disable=None, dynamic_ncols=True)
        self._redirect = logging_redirect_tqdm([logging.getLogger()])
        self._left, self._since_s, self._since_pictures = pictures - seen, time.monotonic(), 0

    def step(
        self, epoch: int, step: int, of_epoch: str, losses: dict[str, float], learning_rate: float, pictures: int
    ) -> None:
        """Record one step; a line of the log every `log_interval` steps.

        Args:
            epoch, step: counted from 1; `of_epoch` is the step within the epoch, in words.
            pictures: that the step has seen, on all devices.
        """
        self._left -= pictures
        self._since_pictures += pictures
        self._bar.set_postfix_str(f"epoch {epoch}/{self.epochs}, loss {losses['loss']:.4f}", refresh=False)
        self._bar.update(pictures)
        if step % self.log_interval:
            return
        curves = {f"train/{name}": value for name, value in losses.items()}
        self._draw({**curves, "train/learning_rate": learning_rate}, step)
        elapsed_s = time.monotonic() - self._since_s
        speed = self._since_pictures / elapsed_s
        left = timedelta(seconds=round(self._left / speed))
        shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        LOG.info(
            "epoch %d/%d, step %s: %s, lr %.3g, %.1f pictures/s, %s left",
            *(epoch, self.epochs, of_epoch, shown, learning_rate, speed, left),
        )
        self._since_s, self._since_pictures = time.monotonic(), 0

    def began(self, step: int, figures: dict[str, float]) -> None:
        """Record the figures of the weights that the training begins with."""
        self._evaluated(step, figures, {}, "the weights it begins with", "")

    def evaluated(
        self,
        epoch: int,
        step: int,
        figures: dict[str, float],
        by_class: dict[str, dict[str, float]],
        best: bool,
        before: dict[str, float] | None,
    ) -> None:
        """Record the figures of an epoch.

        Args:
            by_class: the figures of each class, which are recorded if there are several.
            best: whether no epoch was better.
            before: the figures of the weights that the training began with, if they are known.
        """
        worse = before is not None and figures["AP"] <= before["AP"]
        note = ", the best so far" if best else ""
        note += f", not above the {before['AP']:.4f} of the beginning" if worse else ""
        several = by_class if len(by_class) > 1 else {}
        self._evaluated(step, figures, several, f"epoch {epoch}/{self.epochs}", note)

    def _evaluated(
        self, step: int, figures: dict[str, float], by_class: dict[str, dict[str, float]], what: str, note: str
    ) -> None:
        curves = {f"val/{name}": figures[name] for name in ("AP", "AP50")}
        self._draw(curves | {f"val/AP of {name}": of_class["AP"] for name, of_class in by_class.items()}, step)
        aps = ", ".join(f"{name} {of_class['AP']:.4f}" for name, of_class in by_class.items())
        note = (f" (AP of {aps})" if aps else "") + note
        LOG.info("%s: AP %.4f, AP50 %.4f%s", what, figures["AP"], figures["AP50"], note)
        self._since_s, self._since_pictures = time.monotonic(), 0

    def __enter__(self) -> EpochLog:
        self._redirect.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._redirect.__exit__(kind, error, trace)
        self._bar.close()
        if self._curves is not None:
            self._curves.close()
        if error is not None:
            LOG.info("stopped: %s", error or kind.__name__)
        LOG.removeHandler(self._file)
        self._file.close()

    def _draw(self, values: Mapping[str, float], step: int) -> None:
        if self._curves is None:
            return
        try:
            self._curves.add(values, step)
        except OSError as error:
            LOG.warning("the curves for TensorBoard end here, the training goes on: %s", error)
            self._curves.close()
            self._curves = None
