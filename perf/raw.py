"""The raw figures of a report: a JSON file for each unit, so that a run can be continued or repeated in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perf.machine import commit
from perf.plan import SECTIONS, Unit
from perf.settings import Settings
from training.detectors import DETECTORS


def gather(raw: Path) -> dict[str, Any]:
    """`{"machine", "stamps", "failed": {unit: why}, section: figures}` of all that has been measured.

    The figures of a section's detectors are put together.
    """
    results: dict[str, Any] = {"machine": load(raw, "machine"), "stamps": {}, "failed": {}}
    for unit in (Unit(section, name) for section in SECTIONS for name in (None, *DETECTORS)):
        content = load(raw, unit.file_name)
        if not content:
            continue
        results["stamps"][str(unit)] = content["stamp"]
        if "failed" in content:
            results["failed"][str(unit)] = content["failed"]
        else:
            results[unit.section] = together(results.get(unit.section), content["figures"])
    return results


def together(before: Any, more: Any) -> Any:
    """The figures of several detectors: dicts by their names, or lists."""
    if before is None:
        return more
    return {**before, **more} if isinstance(before, dict) else [*before, *more]


def is_current(content: dict[str, Any], settings: Settings) -> bool:
    """Whether a unit was measured with these settings, whatever the other detectors, at this commit."""
    if not content or "failed" in content:
        return False
    theirs, ours = dict(content["settings"]), json.loads(json.dumps(settings.as_dict()))
    for either in (theirs, ours):
        either.pop("detectors")
    return theirs == ours and content["stamp"]["commit"] == commit()


def load(raw: Path, name: str) -> dict[str, Any]:
    """A raw file; {} if it is not there."""
    file = raw / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def save(raw: Path, name: str, content: Any) -> None:
    """Write a raw file, whole or not at all."""
    partial = raw / f"{name}.json.partial"
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.rename(raw / f"{name}.json")
