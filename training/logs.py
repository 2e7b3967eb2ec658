"""Log lines on the terminal."""

from __future__ import annotations

import logging
import sys


def log_to_stdout() -> None:
    """Show the project's messages, without decoration, on this process's standard output."""
    logging.raiseExceptions = False  # no traceback for each line, should standard output be a full disk
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    logging.getLogger("training").setLevel(logging.INFO)  # Paddle, once imported, quiets the root logger
