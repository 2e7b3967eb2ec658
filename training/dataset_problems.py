"""What can be wrong with an entry of a data set, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

SHOWN = 3  # offenders that a message names, of each kind
PLAUSIBLE = 1e9  # no coordinate or size reaches it


class DatasetError(ValueError):
    """A data set that cannot be used; the message names the first offenders of each kind."""


@dataclass
class Problems:
    """What is wrong with a file, gathered so that one message tells all of it."""

    source: str
    by_kind: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, offender: str = "") -> None:
        """Note one offender; `kind` reads well behind its count: "3 images are missing"."""
        self.by_kind.setdefault(kind, []).append(offender)

    def __str__(self) -> str:
        kinds = []
        for kind, offenders in self.by_kind.items():
            named = "; ".join(offender for offender in offenders[:SHOWN] if offender)
            more = "; ..." if named and len(offenders) > SHOWN else ""
            kinds.append(f"{len(offenders)} {kind} ({named}{more})" if named else kind)
        return f"{self.source}: " + ", ".join(kinds)


def safe_name(name: Any) -> bool:
    """Whether a file name stays inside the folder it is joined to, sub-folders allowed, on every system."""
    if not isinstance(name, str) or not name or any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in name):
        return False
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts) or "\\" in name or ":" in parts[0] or PurePosixPath(name).is_absolute())


def is_id(value: Any) -> bool:
    """Whether it is a whole number of ordinary size."""
    return type(value) is int and abs(value) < 2**63


def is_number(value: Any) -> bool:
    """Whether it is a finite number of plausible size."""
    return type(value) in (int, float) and -PLAUSIBLE < value < PLAUSIBLE  # NaN fails the comparison


def name_of(entry: Any, kind: str, index: int) -> str:
    """An entry by its id, else by its place in its list."""
    has_id = isinstance(entry, dict) and is_id(entry.get("id"))
    return f"{kind} {entry['id']}" if has_id else f"{kind} number {index + 1}"


def excerpt(entry: Any) -> str:
    """The beginning of an entry, on one line."""
    text = repr(entry)
    return text if len(text) <= 80 else text[:77] + "..."
