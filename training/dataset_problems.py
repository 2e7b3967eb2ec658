"""What is wrong with a data set, gathered and told at once, and which file names pictures may have."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 3  # offenders that a message names, of each kind


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
            named = first_of([offender for offender in offenders if offender])
            kinds.append(f"{len(offenders)} {kind} ({named})" if named else kind)
        return f"{self.source}: " + ", ".join(kinds)


def first_of(offenders: list[str] | tuple[str, ...]) -> str:
    """The first offenders, and whether there are more."""
    return "; ".join(offenders[:SHOWN]) + ("; ..." if len(offenders) > SHOWN else "")


def picture_name(name: str) -> str:
    """A picture's name as a path below `images/`, with slashes and without `./`.

    Raises:
        ValueError: it could lead out of that folder, on any system.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part != "."]
    if not safe_name("/".join(parts)):
        raise ValueError("it has to stay inside images/")
    return "/".join(parts)


def safe_name(name: str) -> bool:
    """Whether a file name stays inside the folder it is joined to, sub-folders allowed, on every system."""
    if any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in name):
        return False
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts) or "\\" in name or ":" in parts[0])
