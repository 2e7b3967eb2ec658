"""The command lines of measurements on annotated photos: what they take, and how they end."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path


def photo_parser(module: str, description: str, output: Path) -> argparse.ArgumentParser:
    """Photos, their annotations, detectors, and the folder of the report."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="the photos")
    parser.add_argument("--annotations", type=Path, required=True, metavar="JSON", help="their faces, COCO's format")
    parser.add_argument("--detector", action="append", metavar="NAME", help="default: all of the repository")
    parser.add_argument("--output", type=Path, default=output, metavar="DIR")
    return parser


def report(run: Callable[[], Path], log: logging.Logger, failures: tuple[type[Exception], ...]) -> int:
    """Measure, say where the report is, or what was in the way; the exit code."""
    logging.basicConfig(format="%(message)s", force=True)
    log.setLevel(logging.INFO)
    try:
        print(run())
    except failures as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
