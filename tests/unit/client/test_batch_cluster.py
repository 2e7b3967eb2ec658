"""Ray is asked for when the command runs, and not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tritonface._batch import cluster
from tritonface._cli import main


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "NEEDED", ("sys", "no_such_package"))
    assert main(["batch", "photos", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "error: batch needs Ray Data (no_such_package not found): pip install 'tritonface[batch]'\n"
    assert not (tmp_path / "out").exists()


def test_nothing_of_it_is_imported_with_the_command() -> None:
    code = "import sys, tritonface._cli, tritonface._batch.cluster, tritonface._batch.worker; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "tritonface._batch.worker" in modules
    assert not set(cluster.NEEDED) & set(modules)
