"""A tritonserver process without a container: start, readiness, draining."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import psutil

from tritonface_server.configs import cpu_config_name
from tritonface_server.cpus import usable_cpus
from tritonface_server.endpoints import Endpoints
from tritonface_server.machine import LaunchError, Triton, check_port, check_repository, find_triton
from tritonface_server.parent import end_with_parent
from tritonface_server.run_folder import run_folder

DRAIN_TIMEOUT_S = 15
EXIT_TIMEOUT_S = 5  # after draining; Triton spends it waiting for idle HTTP connections, if there are any
START_TIMEOUT_S = 120
POLL_INTERVAL_S = 0.1
WATCH = ("--model-control-mode=poll", "--repository-poll-secs=2")
"""Arguments with which a server follows changes of its repository; clients still cannot change it."""
EXPLICIT = ("--model-control-mode=explicit", "--load-model=*")
"""Arguments with which clients may load models, which can hold code: for trusted clients only."""
IDLE_INTERVAL_S = 0.3
IDLE_CPU_SHARE = 0.1  # of one core; an idle server uses less than 0.01
LOG_TAIL_LINES = 15
# glibc would return the memory of every picture to the system and fault it in again for the next: a third of the
# time that preprocessing takes.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(64 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}


class TritonServer:
    """A tritonserver process; as a context manager it is ready inside and gone outside.

    Args:
        log: file that receives the server's log; None leaves it on the terminal.
        arguments: further arguments for tritonserver; a `--model-config-name` among them takes precedence over `cpus`.
        cpus: CPUs to make use of, which sets the numbers of processes; None takes those this process may use.

    Raises:
        LaunchError: from `start`, when something is missing or the server gives up.
    """

    def __init__(
        self,
        model_repository: Path,
        endpoints: Endpoints | None = None,
        log: Path | None = None,
        arguments: tuple[str, ...] = (),
        cpus: int | None = None,
    ) -> None:
        self.model_repository = model_repository
        self.endpoints = endpoints or Endpoints()
        self.log = log
        self.arguments = arguments
        self.config_name = cpu_config_name(cpus or usable_cpus())
        self.process: subprocess.Popen[bytes] | None = None
        self._resources = ExitStack()

    def start(self) -> None:
        """Start the process; it is not ready yet, see `wait_until_ready`."""
        triton = find_triton()
        check_repository(self.model_repository)
        for purpose, port in self.endpoints.ports.items():
            check_port(self.endpoints.host, port, purpose)
        backends = self._resources.enter_context(run_folder())
        assemble_backends(triton, backends)
        output = self._resources.enter_context(self.log.open("wb")) if self.log else None
        self.process = subprocess.Popen(
            [str(triton.binary), *self._options(backends), *self.arguments],
            env=server_environment(triton),
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then lets the server drain
            preexec_fn=end_with_parent,
        )

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when every model answers; LaunchError with the end of the log otherwise."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                code = self.process and self.process.returncode
                raise LaunchError(f"tritonserver stopped while starting, exit code {code}{self._log_tail()}")
            if _answers(f"http://{self.endpoints.http}/v2/health/ready"):
                return
            time.sleep(POLL_INTERVAL_S)
        raise LaunchError(f"tritonserver was not ready after {timeout_s:g} s{self._log_tail()}")

    def stop(self) -> int | None:
        """Let requests in flight finish, end the process, and return its exit code."""
        try:
            if self.process is None:
                return None
            try:
                wait_until_idle(self.process.pid, DRAIN_TIMEOUT_S)
                self.process.terminate()
                return self.process.wait(EXIT_TIMEOUT_S + 5)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: do not wait any longer
                self.process.kill()
                return self.process.wait()
        finally:
            self._end_stubs()
            self._resources.close()

    def exit_code(self, within_s: float) -> int | None:
        """The exit code if the process ends by itself within that time."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(within_s) if self.process else None
        return None

    def has_lost_a_model(self) -> bool:
        """Whether the process of a Python model has died, which Triton neither restarts nor reports as unhealthy."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True) if self.process else []
            return any(child.status() == psutil.STATUS_ZOMBIE for child in children)
        except psutil.NoSuchProcess:
            return False

    def _end_stubs(self) -> None:
        """End the processes of Python models that a killed or crashed server has left behind in its group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def __enter__(self) -> TritonServer:
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _options(self, backends: Path) -> list[str]:
        addresses = [f"--{purpose}-address={self.endpoints.host}" for purpose in self.endpoints.ports]
        ports = [f"--{purpose}-port={port}" for purpose, port in self.endpoints.ports.items()]
        named = any(argument.startswith("--model-config-name") for argument in self.arguments)
        return [
            f"--model-repository={self.model_repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=none",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            *([] if named else [f"--model-config-name={self.config_name}"]),
            *addresses,
            *ports,
        ]

    def _log_tail(self) -> str:
        if not self.log or not self.log.is_file():
            return "; its log says why"
        text = self.log.read_text(errors="replace")
        failures = re.findall(r"failed to load '.*?(?=\\n|\"$)", text, re.MULTILINE)
        if failures:
            return ": " + "; ".join(failures)
        return "; the end of its log:\n" + "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def wait_until_idle(pid: int, timeout_s: float) -> None:
    """Return when a process and its children hardly compute any more, or after `timeout_s`.

    Triton's own draining covers single models only: a request inside an ensemble fails at its next step. Nor
    does it tell what is under way, but working on a request keeps a core busy.
    """
    deadline = time.monotonic() + timeout_s
    spent_s = cpu_time_s(pid)
    while time.monotonic() < deadline:
        time.sleep(IDLE_INTERVAL_S)
        before_s, spent_s = spent_s, cpu_time_s(pid)
        if spent_s - before_s < IDLE_CPU_SHARE * IDLE_INTERVAL_S:
            return


def cpu_time_s(pid: int) -> float:
    """CPU seconds that a process and its children have used; 0 if it has ended."""
    try:
        parent = psutil.Process(pid)
        times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(time.user + time.system for time in times)


def assemble_backends(triton: Triton, folder: Path) -> None:
    """Put the backend directory together. Copies: Triton refuses python-based backends behind links."""
    shutil.copytree(triton.python_backend, folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(triton.stub, folder / "python" / triton.stub.name)
    shutil.copytree(
        Path(__file__).parent / "backends", folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )


def server_environment(triton: Triton) -> dict[str, str]:
    """The environment in which the server finds its libraries and this interpreter's packages.

    The Python backend ignores `PYTHONPATH`; the interpreter it embeds takes the packages of the first `python3`
    on `PATH`.
    """
    libraries = [*map(str, triton.library_folders), os.environ.get("LD_LIBRARY_PATH")]
    return {
        **KEEP_FREED_MEMORY,
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
