"""The launcher as a user runs it, what it says, its processes, and callers that never pause."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import tritonclient.grpc
import tritonclient.http

from training.paths import MODEL_REPOSITORY, ROOT
from tritonface_server.endpoints import Endpoints
from tritonface_server.stubs import Stub, find_stubs

PHOTO = ROOT / "demo" / "photos" / "astronaut.jpg"
KEY = "the-key-of-the-tests"


class Launched:
    """The command `tritonface-server serve` as a process of its own.

    Args:
        folder: for its cache and its log.
        before: a command of the shell that sets its limits, or mounts what only it sees.
        triton: further arguments for tritonserver.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        repository: Path = MODEL_REPOSITORY,
        host: str = "127.0.0.1",
        endpoints: Endpoints | None = None,
        before: str = "true",
        triton: tuple[str, ...] = (),
    ) -> None:
        self.endpoints = endpoints or Endpoints.free(host)
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        ports = [f"--{purpose}-port={port}" for purpose, port in self.endpoints.ports.items()]
        settings = [*ports, "--cpus=1", f"--host={host}", f"--model-repository={repository}", *arguments]
        settings += ["--", f"--log-file={folder / 'triton.log'}", *triton]
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "TRITONFACE_KEY": KEY}
        command = [sys.executable, "-m", "tritonface_server", "serve", *settings]
        shell = ["unshare", "--mount"] if "mount" in before else []
        self.process = subprocess.Popen(
            [*shell, "sh", "-c", f'{before} && exec "$@"', "sh", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line.rstrip())

    def __enter__(self) -> Launched:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self._reader.join(10)

    def wait_for(self, words: str, timeout_s: float = 90) -> str:
        """The next line that holds these words."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with suppress(queue.Empty):
                line = self.lines.get(timeout=0.2)
                self.said.append(line)
                if words in line:
                    return line
            if self.process.poll() is not None and not self._reader.is_alive() and self.lines.empty():
                break
        raise AssertionError(f"{words!r} was not said; exit code {self.process.poll()}, said was {self.said}")

    @property
    def server_pid(self) -> int:
        """Of its tritonserver."""
        (server,) = [child for child in psutil.Process(self.process.pid).children() if child.name() == "tritonserver"]
        return server.pid

    def stubs(self, model: str = "") -> list[Stub]:
        """The living processes of its models, or of one."""
        return [stub for stub in find_stubs(self.server_pid) if model in ("", stub.model)]

    def status(self, path: str) -> int:
        """What HTTP answers, 0 if nobody does."""
        try:
            with urllib.request.urlopen(f"http://{self.endpoints.http}/{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@contextmanager
def launched(folder: Path, *arguments: str, ready: str = "ready: gRPC", **settings: Any) -> Iterator[Launched]:
    """A launcher that has said that it is ready; it is gone at the end, and its server with it."""
    with Launched(folder, *arguments, **settings) as launcher:
        launcher.wait_for(ready)
        yield launcher


class Answer(NamedTuple):
    """One request: when it was sent, when answered, of which model, and how it failed."""

    sent_s: float
    answered_s: float
    model: str
    failure: str


class Callers:
    """Eight that call without a pause, half of them over each protocol, each always the same model."""

    def __init__(self, endpoints: Endpoints, *models: str) -> None:
        self.answers: list[Answer] = []
        self._stopped = threading.Event()
        protocols = [(tritonclient.grpc, endpoints.grpc), (tritonclient.http, endpoints.http)]
        self._threads = [
            threading.Thread(target=self._call, args=(*protocols[i % 2], models[i // 2 % len(models)]), daemon=True)
            for i in range(8)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Callers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _call(self, triton: object, url: str, model: str) -> None:
        tensor = triton.InferInput("image", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[PHOTO.read_bytes()]], dtype=object))
        with triton.InferenceServerClient(url) as client:
            while not self._stopped.is_set():
                sent_s, failure = time.monotonic(), ""
                try:
                    client.infer(model, [tensor])
                except Exception as error:  # InferenceServerException, OSError; geventhttpclient has errors of its own
                    failure = f"{type(error).__name__} {error}"
                    time.sleep(0.02)  # nobody may be there any more
                self.answers.append(Answer(sent_s, time.monotonic(), model, failure))

    def served(self, model: str, since_s: float) -> list[float]:
        """Seconds after `since_s` at which requests sent after it were answered."""
        answers = [it for it in self.answers if it.model == model and it.sent_s >= since_s and not it.failure]
        return sorted(it.answered_s - since_s for it in answers)

    def failures(self, model: str, since_s: float) -> list[str]:
        """Of what was answered since."""
        return [it.failure for it in self.answers if it.model == model and it.answered_s >= since_s and it.failure]


def eventually(condition: Callable[[], object], timeout_s: float = 30) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_there(pid: int) -> bool:
    """Whether the process lives; a dead one that nobody has waited for does not."""
    return Path(f"/proc/{pid}/exe").exists()
