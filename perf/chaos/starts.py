"""Starts under conditions that cannot work, or hardly: a clear line and an exit code, or no effect."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from perf.chaos.faults import NORMAL, wait
from perf.chaos.launched import Launched
from perf.chaos.row import Promise, Row
from perf.settings import WATCHED
from tests.shipped import copy_detectors
from training.paths import MODEL_REPOSITORY

GIVES_UP_S, STARTS_S = 120, 40
OTHER = "BlazeFace-FPN-SSH"


def refused(name: str, folder: Path, repository: Path, command: Sequence[str] = ()) -> Row:
    """A start that cannot work."""
    if command and not is_possible(command):
        return Row(name, "start", [], [f"not possible here: {command[0]} is refused"])
    server = Launched(repository, folder, command=command)
    server.start()
    code = wait(server, GIVES_UP_S)
    left = server.leftovers()
    server.kill_all()
    said = [line for line in server.own_words() if line.startswith("error: ")]
    return Row(
        name,
        "start",
        [
            Promise("ends with a code that is not 0", bool(code), 1, at_least=True),
            Promise("lines that say why", len(said), 1, at_least=True),
            Promise("left behind", len(left), 0),
        ],
        [f"exit code {code}", *(line[:250] for line in said[-1:]), *left[:3]],
    )


def works(name: str, folder: Path, command: Sequence[str]) -> Row:
    """A start under a condition that shall have no effect."""
    if not is_possible(command):
        return Row(name, "start", [], [f"not possible here: {command[0]} is refused"])
    server = Launched(one_detector(folder), folder, command=command)
    server.start()
    ready = server.wait_until_ready()
    server.end()
    server.kill_all()
    return Row(name, "start", [Promise("served", ready, 1, at_least=True)], server.own_words()[-1:])


def is_possible(command: Sequence[str]) -> bool:
    """Whether this machine lets us have the condition."""
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0


def limited_handles() -> list[str]:
    """A process may open 64 files."""
    return ["bash", "-c", 'ulimit -n 64; exec "$@"', "-"]


def without_stdout() -> list[str]:
    """Nobody reads what is said."""
    return ["bash", "-c", 'exec "$@" >&-', "-"]


def with_mount(mount: str) -> list[str]:
    """Something else is mounted somewhere, for this process alone."""
    return ["unshare", "--mount", "bash", "-c", f'{mount}; exec "$@"', "-"]


def dies_at_each_start(folder: Path) -> Row:
    """A step whose process ends as soon as it starts."""
    repository = one_detector(folder)
    (repository / f"{WATCHED}_postprocess" / "1" / "model.py").write_text("import os\n\nos._exit(3)\n")
    return refused("a step that dies at each start", folder, repository)


def full_disk(folder: Path) -> Row:
    """There is no room for the server's own files."""
    cache = folder / "cache"
    cache.mkdir()
    return refused("a full disk", folder, MODEL_REPOSITORY, with_mount(f"mount -t tmpfs -o size=1m none {cache}"))


def read_only_repository(folder: Path) -> Row:
    """The repository cannot be written."""
    models = folder / "models"
    return works(
        "read-only repository",
        folder,
        with_mount(f"mount --bind {models} {models} && mount -o remount,bind,ro {models}"),
    )


def one_corrupt_network(folder: Path) -> Row:
    """A repository in which one network of two is no network: the other one is served, and the launcher names it."""
    repository = copy_detectors(folder / "models", WATCHED, OTHER)
    (repository / f"{OTHER}_detector" / "1" / "model.onnx").write_bytes(b"no network")
    server = Launched(repository, folder)
    server.start()
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline and wait(server, 0.1) is None and not server.is_ready(NORMAL):
        pass
    time.sleep(2)  # a line may follow
    served, others = server.is_ready(NORMAL), [server.is_ready(model) for model in (f"{OTHER}_detector", OTHER)]
    said = [line for line in server.own_words() if f"{OTHER}_detector" in line]
    server.end()
    server.kill_all()
    return Row(
        "one corrupt network among two",
        "start",
        [
            Promise("the other one is served", served, 1, at_least=True),
            Promise("the launcher names it", bool(said), 1, at_least=True),
            Promise("of its models ready", sum(others), 0),
        ],
        [line[:250] for line in said[:1]],
    )


def two_at_once(folder: Path) -> Row:
    """Two servers started at once on the same ports: one serves, the other says why not."""
    repository = one_detector(folder)
    servers = [Launched(repository, folder / str(i)) for i in range(2)]
    servers[1].use_ports_of(servers[0])
    for i, server in enumerate(servers):
        (folder / str(i)).mkdir()
        server.start()
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline and all(wait(server, 0.05) is None for server in servers):
        pass
    ended = [server for server in servers if wait(server, 0) is not None]
    serving = [server for server in servers if server not in ended and server.wait_until_ready()]
    said = [line for server in ended for line in server.own_words() if line.startswith("error: ")]
    for server in serving:
        server.end()
    for server in servers:
        server.kill_all()
    return Row(
        "two servers at once on the same ports",
        "start",
        [
            Promise("that serve", len(serving), 1, at_least=True),
            Promise("that say why they do not", len(said), 1, at_least=True),
        ],
        said[:1],
    )


def one_detector(folder: Path) -> Path:
    """A repository of the watched detector alone."""
    return copy_detectors(folder / "models", WATCHED)
