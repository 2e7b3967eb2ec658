"""What deploy/compose.yaml says, for the tests that run its parts by other means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from training.paths import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def mounted(service: dict[str, Any]) -> dict[Path, str]:
    """The project's files that a service sees, and where; all read-only."""
    found = {}
    for volume in service.get("volumes", []):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert mode == ["ro"], volume
            found[DEPLOY / source] = target
    return found


def run_options(service: dict[str, Any]) -> list[str]:
    """The rights and bounds of a service as options of `podman run`; its CPUs are those that are there."""
    limits = service["deploy"]["resources"]["limits"]
    assert service["read_only"] is True
    return [
        "--read-only",
        "--read-only-tmpfs=false",  # podman adds some of its own, docker does not
        f"--user={service['user']}",
        *(f"--cap-drop={name}" for name in service["cap_drop"]),
        *(f"--security-opt={option.removesuffix(':true')}" for option in service["security_opt"]),
        *(f"--tmpfs={folder}" for folder in service["tmpfs"]),
        f"--shm-size={service['shm_size']}",
        f"--pids-limit={limits['pids']}",
    ]
