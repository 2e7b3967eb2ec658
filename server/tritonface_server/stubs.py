"""The processes in which Triton runs Python models ("stubs"): which there are, and whether they live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

EXECUTABLE = "triton_python_backend_stub"
INSTANCE_ARGUMENT = 8
"""Place of the instance's name among a stub's arguments."""


@dataclass(frozen=True)
class Stub:
    """One process of one model; `instance` is the model's name, "_", group, "_", number."""

    pid: int
    instance: str
    model_folder: Path
    """Where its files lie."""

    @property
    def model(self) -> str:
        return self.instance.rsplit("_", 2)[0]

    @property
    def is_alive(self) -> bool:
        """Whether it runs or is stopped; a dead process stays in the table until Triton has noticed."""
        return self._state() not in ("", "Z", "X")

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it."""
        return self._state() in ("T", "t")

    def _state(self) -> str:
        try:
            return Path("/proc", str(self.pid), "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, IndexError):
            return ""


def find_stubs(server_pid: int) -> list[Stub]:
    """The living stubs of a tritonserver process."""
    found = []
    try:
        children = psutil.Process(server_pid).children()
    except psutil.NoSuchProcess:
        return []
    for child in children:
        try:
            arguments = child.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # a zombie's is empty
            continue
        if len(arguments) > INSTANCE_ARGUMENT and Path(arguments[0]).name == EXECUTABLE:
            found.append(Stub(child.pid, arguments[INSTANCE_ARGUMENT], Path(arguments[1]).parent.parent))
    return found
