"""Shared by the tests that train for real: the command line, its results, and waiting for what it does.

`start` is the command as a user gives it. `run` is the same in a process that is forked from one that has imported
Paddle, which takes two seconds each time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from training.main import main
from training.paths import ROOT

SMALL = ("Train.image_size=64", "Train.image_sizes=[]", "Train.batch_size=4", "Train.log_interval=1")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["training.engine.train", "training.evaluation.evaluate"])


def arguments(model: str, output: Path, dataset: Path, *overrides: str, mode: str = "train") -> list[str]:
    settings = [f"Global.mode={mode}", f"Global.dataset_dir={dataset}", f"Global.output={output}", *overrides]
    config = str(ROOT / f"training/configs/{model}.yaml")
    return ["-c", config, *(text for setting in settings for text in ("-o", setting))]


def command(*settings: Any, **options: Any) -> list[str]:
    return [sys.executable, str(ROOT / "training" / "main.py"), *arguments(*settings, **options)]


def run(*settings: Any, timeout_s: float = 400, **options: Any) -> subprocess.CompletedProcess[str]:
    given = arguments(*settings, **options)
    with tempfile.TemporaryDirectory() as folder:
        written = [Path(folder, stream) for stream in ("stdout", "stderr")]
        process = FORKS.Process(target=_main, args=(given, *written))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(given, timeout_s)
        out, err = (path.read_text() for path in written)
        return subprocess.CompletedProcess(given, process.exitcode, out, without_paddles_note(err))


def without_paddles_note(stderr: str) -> str:
    """What a command has said itself: Paddle adds two lines wherever OMP_NUM_THREADS is set to more than 1."""
    return re.sub(r"^(WARNING: OMP_NUM_THREADS set to|PLEASE USE OMP_NUM_THREADS WISELY).*\n", "", stderr, flags=re.M)


def _main(given: list[str], *written: Path) -> None:
    for number, path in enumerate(written, start=1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), number)
    sys.exit(main(given))


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
