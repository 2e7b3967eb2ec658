"""A tritonserver process without a container: start, readiness, draining."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from tritonface_server.access import Access, Certificates, hide, without_key
from tritonface_server.admission import ledger_file, server_name
from tritonface_server.configs import cpu_config_name
from tritonface_server.control import Control
from tritonface_server.cpus import usable_cpus
from tritonface_server.draining import Draining
from tritonface_server.endpoints import Endpoints
from tritonface_server.leftovers import (
    note_temporary_folders,
    remove_leftovers,
    shared_memory_prefix,
    temporary_folders,
)
from tritonface_server.machine import LaunchError, Triton, check_port, find_triton, port_lock
from tritonface_server.network_outline import LOAD_LATER
from tritonface_server.parent import end_with_parent, guarded, kill_group, reap, wait_for_end
from tritonface_server.repositories import Repositories
from tritonface_server.room import check_shared_memory, raise_open_files
from tritonface_server.run_folder import base_folder, run_folder
from tritonface_server.say import warn
from tritonface_server.sent_models import note_sent_models
from tritonface_server.stubs import Stub, find_stubs

DRAIN_TIMEOUT_S = 15.0
EXIT_TIMEOUT_S = 5
"""For Triton's own draining, of single models, and idle HTTP connections, where the launcher could not drain."""
EXIT_GRACE_S = 0.3
"""After draining, when nobody is waited for but idle HTTP connections."""
START_TIMEOUT_S = 120
POLL_INTERVAL_S = 0.05
LOG_TAIL_LINES = 15
# glibc would return the memory of every picture to the system and fault it in again for the next: a third of the
# time that preprocessing takes.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(64 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}
# Each of Triton's threads would keep some of its own: 45 MB more with eight networks at work.
FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}


class TritonServer:
    """A tritonserver process; as a context manager it is ready inside and gone outside.

    Args:
        model_repository: the folder with a folder for each model, or several places with models, see `Repositories`.
        log: file that receives the server's log; None leaves it on the terminal.
        arguments: further arguments for tritonserver; a `--model-config-name` among them takes precedence over `cpus`.
        cpus: CPUs to make use of, which sets the numbers of processes; None takes those this process may use.
        access: the key to the APIs that change the server; a random one by default.
        partial: serve what can be loaded, instead of giving up when something cannot.
        certificates: for TLS over gRPC.
        detectors: load these alone, with their networks; None for all models, each network when it is first asked for.

    Raises:
        LaunchError: from `start`, when something is missing or the server gives up.
    """

    def __init__(
        self,
        model_repository: Path | Sequence[Path | str],
        endpoints: Endpoints | None = None,
        log: Path | None = None,
        arguments: tuple[str, ...] = (),
        cpus: int | None = None,
        access: Access | None = None,
        partial: bool = False,
        certificates: Certificates | None = None,
        detectors: Sequence[str] | None = None,
    ) -> None:
        self.repositories = Repositories([model_repository] if isinstance(model_repository, Path) else model_repository)
        self.endpoints = endpoints or Endpoints()
        self.log = log
        self.arguments = arguments
        self.config_name = cpu_config_name(cpus or usable_cpus())
        self.access = access or Access()
        self.partial = partial
        self.certificates = certificates
        self.detectors = detectors
        self.warning: str | None = None
        """What is not as it should be on this machine, once started."""
        self.control = Control(self.endpoints.http, self.access.headers)
        self.backends: set[str] = set()
        """Names of the backends whose models run in processes of their own."""
        self.process: subprocess.Popen[bytes] | None = None
        self._resources = ExitStack()
        self.folder = Path()
        """Of its files, once started."""
        self._folders_before: set[Path] = set()
        self._ledger = Path()

    def start(self) -> None:
        """Start the process; it is not ready yet, see `wait_until_ready`."""
        triton = find_triton()
        self.repositories.check()
        raise_open_files()
        for purpose, port in self.endpoints.ports.items():
            host = self.endpoints.hosts[purpose]
            check_port(host, port, purpose)
            self._resources.enter_context(port_lock(host, port))
        try:
            self.folder = self._resources.enter_context(run_folder())
            assemble_backends(triton, self.folder)
        except (OSError, shutil.Error) as error:
            raise LaunchError(f"the backends cannot be copied to {base_folder()}: {error}") from error
        self.backends = {path.name for path in self.folder.iterdir() if path.is_dir()}
        models = self.chosen_models()
        if not models:
            raise LaunchError(f"{self.repositories} holds none of {', '.join(self.detectors or [])} any more")
        self.warning = check_shared_memory(self.repositories.processes(models, self.config_name))
        self._folders_before = temporary_folders()
        output = self._resources.enter_context(self.log.open("wb")) if self.log else None
        self.process = subprocess.Popen(
            [str(triton.binary), *self._options(), *self.arguments],
            env=server_environment(triton) | self._when_to_load(),
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then lets the server drain
            preexec_fn=end_with_parent,
        )
        self._ledger = ledger_file(server_name(self.process.pid))
        self._resources.enter_context(guarded(self.process.pid, EXIT_TIMEOUT_S + 1))
        hide(self.access.key, self.process.pid)

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the models are loaded, if `partial` those that can be; LaunchError with the log's end if not."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                code = self.process and self.process.returncode
                raise LaunchError(f"tritonserver stopped while starting, exit code {code}{self._log_tail()}")
            if self.control.is_ready() or (self.partial and self.control.is_live()):
                note_temporary_folders(self.folder, self._folders_before)
                return
            time.sleep(POLL_INTERVAL_S)
        raise LaunchError(f"tritonserver was not ready after {timeout_s:g} s{self._log_tail()}")

    def stop(self, drain_timeout_s: float = DRAIN_TIMEOUT_S) -> int | None:
        """Refuse new requests, let those under way finish, end the process, and return its exit code; None without one.

        A second Ctrl-C ends it at once.
        """
        try:
            if self.process is not None:
                with suppress(KeyboardInterrupt):
                    deadline_s = time.monotonic() + drain_timeout_s
                    is_drained = Draining(self.control, self.stubs, self._has_ended, deadline_s).run()
                    self.process.terminate()
                    left_s = 0.0 if is_drained else min(deadline_s - time.monotonic(), EXIT_TIMEOUT_S + 1)
                    self.exit_code(within_s=max(left_s, EXIT_GRACE_S))
        finally:
            code = self._end()
            self._resources.close()
        return code

    def exit_code(self, within_s: float, or_end_of: Iterable[int] = ()) -> int | None:
        """The exit code if the process ends by itself within that time, and before one of the other processes."""
        return wait_for_end(self.process, within_s, or_end_of) if self.process else None

    def kill(self) -> None:
        """End the process and its stubs at once, without tidying up after them; from any thread."""
        if (process := self.process) is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def chosen_models(self) -> list[str]:
        """The models to be loaded at the start."""
        return self.repositories.models(self.detectors)

    def also_serve(self, models: Collection[str]) -> None:
        """At the next start, choose the detectors of these models, too."""
        if self.detectors is not None:
            more = [name for name in self.repositories.detectors() if name in models]
            self.detectors = list(dict.fromkeys([*self.detectors, *more]))

    def stubs(self) -> list[Stub]:
        """The living processes of its models."""
        return find_stubs(self.process.pid) if self.process else []

    def _has_ended(self, within_s: float) -> bool:
        return self.exit_code(within_s) is not None

    def _end(self) -> int | None:
        """End what is left of the process and its stubs, which form a group, and remove what they leave behind."""
        if self.process is None:
            return None
        note_sent_models(self.folder, self.stubs())
        code = kill_group(self.process)
        if code is None:
            warn(f"tritonserver, process {self.process.pid}, was killed and has not ended; it is left to itself")
        reap(self.process.pid)
        note_temporary_folders(self.folder, self._folders_before)  # where it has never been ready, too
        remove_leftovers(self.folder)
        self._ledger.unlink(missing_ok=True)  # its users were killed
        self.process = None  # its number may become another process's
        return code

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

    def _options(self) -> list[str]:
        named = any(argument.startswith("--model-config-name") for argument in self.arguments)
        return [
            *(f"--model-repository={place}" for place in self.repositories.places),
            f"--backend-directory={self.folder}",
            "--model-control-mode=explicit",  # by whoever has the key
            *(f"--load-model={model}" for model in self.chosen_models()),  # not *: it wants every folder
            f"--exit-on-error={str(not self.partial).lower()}",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix(self.folder)}",
            *([] if named else [f"--model-config-name={self.config_name}"]),
            *self.access.options,
            *self.endpoints.options,
            *(self.certificates.options if self.certificates else []),
        ]

    def _when_to_load(self) -> dict[str, str]:
        folders = os.pathsep.join(str(folder.resolve()) for folder in self.repositories.folders)
        return {LOAD_LATER: folders} if self.detectors is None else {}

    def _log_tail(self) -> str:
        if not self.log or not self.log.is_file():
            return "; its log says why"
        text = self.log.read_text(errors="replace")
        failures = re.findall(r"failed to load '.*?(?=\\n|\"$)", text, re.MULTILINE)
        if failures:
            return ": " + "; ".join(failures)
        return "; the end of its log:\n" + "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


@contextmanager
def undrained(server: TritonServer) -> Iterator[TritonServer]:
    """As `with server`, but it ends at once, where nobody awaits an answer: Triton unloads a process in a second."""
    try:
        server.start()
        server.wait_until_ready()
        yield server
    finally:
        server.stop(drain_timeout_s=0)


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
        **FEW_ARENAS,
        **without_key(os.environ),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
