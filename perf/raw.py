"""The raw figures of a report: a JSON file for each section, so that a run can be continued or repeated in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perf.machine import commit
from perf.settings import Settings

SECTIONS = ("peers", "sweep", "steps", "functions", "growth", "locust", "gpu", "soak")


def gather(raw: Path) -> dict[str, Any]:
    """`{"machine", "stamps", "failed": {section: why}, section: figures}` of all that has been measured."""
    results: dict[str, Any] = {"machine": load(raw, "machine"), "stamps": {}, "failed": {}}
    for name in SECTIONS:
        content = load(raw, name)
        if not content:
            continue
        results["stamps"][name] = content["stamp"]
        if "failed" in content:
            results["failed"][name] = content["failed"]
        else:
            results[name] = content["figures"]
    return results


def is_current(content: dict[str, Any], settings: Settings) -> bool:
    """Whether a section was measured with these settings at this commit."""
    if not content or "failed" in content:
        return False
    same = content["settings"] == json.loads(json.dumps(settings.as_dict()))
    return same and content["stamp"]["commit"] == commit()


def load(raw: Path, name: str) -> dict[str, Any]:
    """A raw file; {} if it is not there."""
    file = raw / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def save(raw: Path, name: str, content: Any) -> None:
    """Write a raw file, whole or not at all."""
    partial = raw / f"{name}.json.partial"
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.rename(raw / f"{name}.json")
