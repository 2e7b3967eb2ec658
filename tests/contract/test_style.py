"""Style and types, as `make lint` checks them."""

from __future__ import annotations

import subprocess

from training.paths import ROOT


def test_the_linters_have_nothing_to_say() -> None:
    run = subprocess.run(["make", "--no-print-directory", "lint"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
