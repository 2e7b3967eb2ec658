"""Follows model repositories: what is published into it is loaded, what is taken out of it unloaded."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tritonface_server.control import LOAD_TIMEOUT_S, READY, Control, ControlError
from tritonface_server.model_names import STEPS
from tritonface_server.repositories import twofold

INTERVAL_S = 0.5
REPORT = "watching.json"
"""File in the server's run folder that tells whoever publishes what has been loaded."""


class Watcher:
    """The repositories of a running server.

    Args:
        repositories: as they are now, the server has loaded them.
        run_folder: of the server.
        say: takes a line for the user.
    """

    def __init__(
        self, repositories: Sequence[Path], control: Control, run_folder: Path, say: Callable[[str], None]
    ) -> None:
        self._repositories = repositories
        self._control = control
        self._say = say
        self._report = run_folder / REPORT
        self._failures: dict[str, str] = {}
        self.came: set[str] = set()
        """Models that were loaded meanwhile."""
        self._loaded = self._found = self._signatures()
        self._looked_at_s = time.monotonic()
        self._tell()

    def look(self) -> None:
        """Load and unload what has changed and does not change any more: a publication moves several folders.

        Raises:
            ControlError: the server does not answer.
        """
        if time.monotonic() - self._looked_at_s < INTERVAL_S:
            return
        self._looked_at_s = time.monotonic()
        before, self._found = self._found, self._signatures()
        if self._found != before or self._found == self._loaded:
            return
        gone = self._loaded.keys() - self._found.keys()
        changed = [name for name, files in self._found.items() if self._loaded.get(name) != files]
        self._loaded = self._found
        twice = twofold(self._repositories)
        if twice:
            self._say(f"in more than one repository: {', '.join(twice)}; what needs them cannot be loaded")
        for name in sorted(gone, key=_is_step):
            with suppress(ControlError):
                (self._control.forget if name in self._failures else self._control.unload)(name)
        self._failures = {name: reason for name, reason in self._failures.items() if name not in (*gone, *changed)}
        for name in sorted(changed, key=_is_step, reverse=True):
            try:
                self._control.load(name)
                self.came.add(name)
            except ControlError as error:
                self._failures[name] = str(error)
                self._say(f"cannot serve {name}: {error}")
        self._tell()
        states = self._control.states()
        served = [name for name in sorted(changed) if name in states and states[name].name == READY]
        lists = {"loaded": served, "unloaded": sorted(gone)}
        self._say("; ".join(f"{what}: {', '.join(names)}" for what, names in lists.items() if names))

    def _signatures(self) -> dict[str, str]:
        """Of all models; of one that lies in two repositories those of the first, as it was served first."""
        found: dict[str, str] = {}
        for repository in self._repositories:
            found = {**signatures(repository), **found}
        return found

    def _tell(self) -> None:
        folders = [str(repository.resolve()) for repository in self._repositories]
        report = {"repositories": folders, "loaded": self._loaded, "failures": self._failures}
        unfinished = self._report.with_suffix(".new")
        with suppress(OSError):  # a full disk: whoever publishes waits in vain
            unfinished.write_text(json.dumps(report))
            unfinished.replace(self._report)


def _is_step(name: str) -> bool:
    """Whether a model's name is that of a step: loaded before the ensembles, and unloaded after them."""
    return name.endswith(STEPS)


def signatures(repository: Path) -> dict[str, str]:
    """Of every model, what changes with any of its files: a hash of their paths, sizes and times."""
    found = {}
    for config in repository.glob("*/config.pbtxt"):
        with suppress(OSError):  # moved away just now
            files = sorted(path for path in config.parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
            stats = [(str(path.relative_to(config.parent)), path.stat()) for path in files]
            text = repr([(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats])
            found[config.parent.name] = hashlib.sha256(text.encode()).hexdigest()
    return found


def wait_until_loaded(models: list[str], repository: Path, run_folders: Callable[[], list[Path]]) -> dict[str, str]:
    """Wait for the servers that watch a repository to load it as it is now; returns what they could not load, and why.

    Args:
        run_folders: gives those of the servers that run.
    """
    wanted = {name: signature for name, signature in signatures(repository).items() if name in models}
    deadline_s = time.monotonic() + LOAD_TIMEOUT_S
    while True:
        reports = [report for folder in run_folders() if (report := _read_report(folder, repository))]
        late = [report for report in reports if not wanted.items() <= report["loaded"].items()]
        failures = {name: why for report in reports for name, why in report["failures"].items() if name in wanted}
        if not late:
            return failures
        if time.monotonic() > deadline_s:
            return dict.fromkeys(wanted, f"the server that watches has not loaded it within {LOAD_TIMEOUT_S:g} s")
        time.sleep(INTERVAL_S / 5)


def repositories_beside(repository: Path, run_folders: Callable[[], list[Path]]) -> set[Path]:
    """The other repositories of the servers that watch this one."""
    reports = [report for folder in run_folders() if (report := _read_report(folder, repository))]
    return {Path(each) for report in reports for each in report["repositories"]} - {repository.resolve()}


def _read_report(run_folder: Path, repository: Path) -> dict[str, Any] | None:
    """What a server that watches this repository says."""
    try:
        report = json.loads((run_folder / REPORT).read_text())
    except (OSError, ValueError):
        return None
    return report if str(repository.resolve()) in report["repositories"] else None
