"""Follows a model repository: what is published into it is loaded, what is taken out of it unloaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tritonface_server.control import READY, Control, ControlError

INTERVAL_S = 0.5
Signature = tuple[tuple[str, int, int], ...]
"""Path, size and time of change of each file of a model."""


class Watcher:
    """The repository of a running server.

    Args:
        repository: as it is now, the server has loaded it.
        say: takes a line for the user.
    """

    def __init__(self, repository: Path, control: Control, say: Callable[[str], None]) -> None:
        self._repository = repository
        self._control = control
        self._say = say
        self._loaded = self._found = signatures(repository)
        self._looked_at_s = time.monotonic()

    def look(self) -> None:
        """Load and unload what has changed and does not change any more: a publication moves several folders.

        Raises:
            ControlError: the server does not answer.
        """
        if time.monotonic() - self._looked_at_s < INTERVAL_S:
            return
        self._looked_at_s = time.monotonic()
        before, self._found = self._found, signatures(self._repository)
        if self._found != before or self._found == self._loaded:
            return
        gone = self._loaded.keys() - self._found.keys()
        changed = [name for name, files in self._found.items() if self._loaded.get(name) != files]
        self._loaded = self._found
        for name in sorted(gone, key=len):  # an ensemble's name is the beginning of those of its steps
            self._control.unload(name)
        for name in sorted(changed, key=len, reverse=True):
            try:
                self._control.load(name)
            except ControlError as error:
                self._say(f"cannot serve {name}: {error}")
        states = self._control.states()
        served = [name for name in sorted(changed) if name in states and states[name].name == READY]
        lists = {"loaded": served, "unloaded": sorted(gone)}
        self._say("; ".join(f"{what}: {', '.join(names)}" for what, names in lists.items() if names))


def signatures(repository: Path) -> dict[str, Signature]:
    """Every model by its name."""
    found = {}
    for config in repository.glob("*/config.pbtxt"):
        with suppress(OSError):  # moved away just now
            files = sorted(path for path in config.parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
            stats = [(path, path.stat()) for path in files]
            found[config.parent.name] = tuple(
                (str(path.relative_to(config.parent)), stat.st_size, stat.st_mtime_ns) for path, stat in stats
            )
    return found
