"""The server as people start it, `tritonface-server serve`, with its processes by name and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from perf import resources
from perf.resources import SHARED_MEMORY
from training.paths import ROOT
from tritonface_server.endpoints import Endpoints
from tritonface_server.leftovers import remove_leftovers
from tritonface_server.parent import end_with_parent
from tritonface_server.run_folder import PREFIX
from tritonface_server.stubs import find_stubs

START_TIMEOUT_S, END_TIMEOUT_S = 120, 60
SEGMENTS = ("triton_", "tritonface")
TRITONS_LINE = re.compile(r"[IWEF]\d{4} |\+[-+]+\+|\||Signal ")


class Launched:
    """The launcher's process; as a context manager it is ready inside and ended outside.

    Args:
        folder: for its log and its cache.
        command: what stands before it, a shell's `ulimit` for instance.
    """

    def __init__(self, repository: Path, folder: Path, *arguments: str, command: Sequence[str] = ()) -> None:
        self.endpoints = Endpoints.free()
        self.cache, self.log = folder / "cache", folder / "log"
        serve = [sys.executable, "-m", "tritonface_server", "serve", "--model-repository", str(repository)]
        self.command = [*command, *serve, *arguments]
        self.before = left_over(self.cache)
        self.launcher: subprocess.Popen[bytes] | None = None

    def use_ports_of(self, other: Launched) -> None:
        """Listen where another one does."""
        self.endpoints = other.endpoints

    def start(self) -> None:
        """Start it; it is not ready yet."""
        ports = [f"--{purpose}-port={port}" for purpose, port in self.endpoints.ports.items()]
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.cache)}
        with self.log.open("wb") as log:
            self.launcher = subprocess.Popen(
                [*self.command, *ports],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def wait_until_ready(self) -> bool:
        """Whether it becomes ready; False if it ends instead."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.launcher is not None and self.launcher.poll() is None:
            if self.is_ready():
                return True
            time.sleep(0.05)
        return False

    def is_ready(self, model: str = "") -> bool:
        """What readiness says, of the server or of a model; False while nobody answers."""
        path = f"models/{model}" if model else "health"
        return answers(f"http://{self.endpoints.http}/v2/{path}/ready")

    @property
    def pid(self) -> int:
        """The launcher's process."""
        if self.launcher is None:
            raise RuntimeError("it was not started")
        return self.launcher.pid

    @property
    def server(self) -> psutil.Process:
        """The tritonserver of this moment."""
        for each in psutil.Process(self.pid).children(recursive=True):
            if each.name() == "tritonserver":
                return each
        raise RuntimeError("there is no tritonserver")

    def stubs(self, model: str) -> list[psutil.Process]:
        """The processes of a model."""
        found = [psutil.Process(stub.pid) for stub in find_stubs(self.server.pid) if stub.model == model]
        if not found:
            raise RuntimeError(f"there is no process of {model}")
        return found

    def memory_mib(self) -> float:
        """PSS of all its processes."""
        try:
            return resources.memory_mib(self.pid)
        except psutil.NoSuchProcess:
            return 0.0

    def end(self, sent: int = signal.SIGTERM) -> int | None:
        """End it, at last by force; the exit code, None if force was needed."""
        if self.launcher is None:
            return None
        self.launcher.send_signal(sent)
        try:
            return self.launcher.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill_all()
            return None

    def kill_all(self) -> None:
        """End every process of it that is left."""
        if self.launcher is None:
            return
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.launcher.kill()
        self.launcher.wait()

    def family(self) -> list[psutil.Process]:
        """All processes of it, whoever their parent is by now."""
        return [each for each in psutil.process_iter() if _cache_of(each) == str(self.cache)]

    def leftovers(self) -> list[str]:
        """Processes, segments and folders of it that are there now and were not before; after its end."""
        processes = [f"process {each.pid} {' '.join(each.cmdline())[:80]}" for each in self.family()]
        return [*processes, *sorted(left_over(self.cache) - self.before)]

    def own_words(self) -> list[str]:
        """The launcher's lines, without tritonserver's."""
        return [line for line in self.log.read_text().splitlines() if line and not TRITONS_LINE.match(line)]

    def __enter__(self) -> Launched:
        self.start()
        if not self.wait_until_ready():
            self.kill_all()
            raise RuntimeError(f"the server did not start: {self.log.read_text()[-500:]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.launcher is not None and self.launcher.poll() is None:
            self.end()
        self.kill_all()
        for run_folder in self.cache.glob(f"tritonface/{PREFIX}*"):  # no server starts with this cache again
            remove_leftovers(run_folder)


def _cache_of(process: psutil.Process) -> str:
    """The cache folder of a process, by which it is known as ours; nothing for what is gone or somebody else's."""
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.environ().get("XDG_CACHE_HOME", "")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def _mappings(process: psutil.Process) -> list[Any]:
    with suppress(psutil.Error):
        return process.memory_maps()
    return []


def left_over(cache: Path) -> set[str]:
    """Folders that servers make, and segments of shared memory that no process uses."""
    used = {mapping.path for process in psutil.process_iter() for mapping in _mappings(process)}
    segments = {str(file) for file in SHARED_MEMORY.iterdir() if file.name.startswith(SEGMENTS)} - used
    folders = {str(folder) for folder in Path("/tmp").glob("python_env_*")}  # where Triton puts them
    return segments | folders | {str(each) for each in cache.glob("tritonface/*")}


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
