"""Shared by the tests that train for real: the command line, its results, and waiting for what it does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from training.paths import ROOT

SMALL = ("Train.image_size=64", "Train.image_sizes=[]", "Train.batch_size=4", "Train.log_interval=1")


def command(model: str, output: Path, dataset: Path, *overrides: str, mode: str = "train") -> list[str]:
    settings = [f"Global.mode={mode}", f"Global.dataset_dir={dataset}", f"Global.output={output}", *overrides]
    start = [sys.executable, str(ROOT / "training" / "main.py"), "-c", str(ROOT / f"training/configs/{model}.yaml")]
    return [*start, *(text for setting in settings for text in ("-o", setting))]


def run(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments, **options), capture_output=True, text=True, timeout=400)


def result_of(output: Path, mode: str = "train") -> dict[str, Any]:
    return json.loads((output / f"{mode}_result.json").read_text())


def wait_for(path: Path, timeout_s: float = 240) -> None:
    end_s = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < end_s, f"{path} did not appear"
        time.sleep(0.02)


def wait_until_gone(session: int, timeout_s: float = 15) -> None:
    """No process of the session is left."""
    end_s = time.monotonic() + timeout_s
    while subprocess.run(["pgrep", "-s", str(session)], capture_output=True).returncode == 0:
        assert time.monotonic() < end_s, "processes outlive the training"
        time.sleep(0.1)
