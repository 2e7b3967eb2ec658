"""The processes in which Triton runs Python models ("stubs"): which there are, and whether they live."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

EXECUTABLE = "triton_python_backend_stub"
GONE, STOPPED = ("", "Z", "X"), ("T", "t")
"""States of processes: not there, dead; stopped by a signal or a debugger."""
MAX_STAT_BYTES = 1024
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

    def state(self) -> str:
        """The kernel's letter for it, "" if it has gone; in three calls, as the launcher asks again and again."""
        try:
            descriptor = os.open(f"/proc/{self.pid}/stat", os.O_RDONLY)
            try:
                line = os.read(descriptor, MAX_STAT_BYTES)
            finally:
                os.close(descriptor)
            return line.rpartition(b")")[2].split(None, 1)[0].decode()
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
