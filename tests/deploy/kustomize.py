"""What kustomize makes of deploy/kubernetes, by the kubectl or kustomize of this machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from training.paths import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ["cpu", "gpu", "published"]
MIN_KUSTOMIZE = 5
Resource = dict[str, Any]


@cache
def build_command() -> tuple[str, ...]:
    """One of the two, new enough for what the files say; kubectl brings kustomize along."""
    for command, version in ((("kustomize", "build"), "version"), (("kubectl", "kustomize"), "version --client")):
        if shutil.which(command[0]):
            told = subprocess.run([command[0], *version.split()], capture_output=True, text=True).stdout
            found = re.search(r"(?:Kustomize Version: )?v(\d+)\.\d+\.\d+\S*\s*$", told)
            if found and int(found[1]) >= MIN_KUSTOMIZE:
                return command
    return pytest.fail(
        f"there is neither kustomize {MIN_KUSTOMIZE} nor a kubectl that has it (1.27 and newer; Debian 12's is 1.20)"
    )


@cache
def render(folder: str) -> str:
    """A folder below deploy/kubernetes as kustomize writes it."""
    done = subprocess.run([*build_command(), str(KUBERNETES / folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resources(folder: str) -> dict[str, Resource]:
    """By "Kind/name"."""
    found = list(yaml.safe_load_all(render(folder)))
    named = {f"{each['kind']}/{each['metadata']['name']}": each for each in found}
    assert len(named) == len(found)
    return named


def as_json(value: object, file: Path) -> Path:
    file.write_text(json.dumps(value))
    return file
