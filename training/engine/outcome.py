"""The last word of a training: whether it has gained anything on the weights that it began with."""

from __future__ import annotations

import logging
from pathlib import Path

from training.engine.checkpoint import BEST, START
from training.progress import Progress

LOG = logging.getLogger(__name__)


def tell_outcome(best: Progress, output: Path) -> None:
    """Log the figures of the best epoch beside those of the beginning; nothing if it began with random weights."""
    accuracy = best.accuracy()
    if accuracy["better"] is None:
        return
    figures = (accuracy["before"]["AP"], accuracy["after"]["AP"], best.epochs)
    if accuracy["better"]:
        LOG.info("better than the weights it began with: AP %.4f before, %.4f after epoch %d", *figures)
        return
    start = output / START / f"{START}.pdparams"
    kept = f"; the weights of before are {start}" if start.is_file() else ""  # not if it has gone on in another folder
    LOG.warning(
        "NO EPOCH IS BETTER than the weights it began with: AP %.4f before, %.4f at best, after epoch %d. %s holds "
        "that epoch all the same%s. A lower Train.learning_rate or more pictures may help",
        *(*figures, BEST, kept),
    )
