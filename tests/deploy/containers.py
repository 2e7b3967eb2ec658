"""The image of `make image` on a base that mmdebstrap makes, and containers of it as users run them, by podman."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.composition import SERVICES, run_options
from tests.scrape import wait_until
from training.paths import ROOT
from tritonface_server.endpoints import Endpoints

SUITE, PYTHON = "bookworm", "3.11"
BASE, IMAGE = f"localhost/tritonface-base:{SUITE}", "localhost/tritonface:test"
BUILD = ROOT / "build"
WHEELHOUSE = BUILD / "wheelhouse"
BINARIES = Path(sys.executable).parent
"""Of this environment: linters, podman-compose."""
CONFIGURATION = Path(__file__).with_name("containers.conf")
RUN = ("podman", "run")
HARDENED = run_options(SERVICES["server"])
START_TIMEOUT_S = 180.0


def command(
    *arguments: str, check: bool = True, timeout_s: float = 600, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command that has ended; if it must not fail, its last words are in the error."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = {**os.environ, "CONTAINERS_CONF": str(CONFIGURATION), "PATH": path, **(variables or {})}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout_s, env=environment)
    if check and done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise AssertionError(f"{' '.join(arguments)}: exit code {done.returncode}\n{said}")
    return done


def build_image() -> str:
    """The image by `make image`, from nothing that a registry of images gives; its number."""
    if subprocess.run(["podman", "image", "exists", BASE]).returncode:
        BUILD.mkdir(exist_ok=True)
        tar = BUILD / f"{SUITE}.tar"
        command("mmdebstrap", "--variant=minbase", SUITE, str(tar), timeout_s=1200)
        command("podman", "import", str(tar), BASE)
        tar.unlink()
    _fill_wheelhouse()
    return _make_image(IMAGE)


def build_nvidia_image() -> str:
    """The other image, on a stand-in for NVIDIA's that has its Python and no Triton; its number."""
    stand_in, image = f"localhost/tritonface-python:{SUITE}", f"{IMAGE}-nvidia"
    _make_image(stand_in, "TARGET=python")
    return _make_image(image, "TARGET=nvidia", TRITON=stand_in)


def build_parts() -> str:
    """An image of Debian's nginx, Prometheus and Alertmanager; its name."""
    name, folder = "localhost/tritonface-parts:test", Path(__file__).parent
    options = ("--isolation=chroot", "--network=host", f"--build-arg=BASE={BASE}", f"--file={folder}/parts.Dockerfile")
    command("podman", "build", "--quiet", *options, f"--tag={name}", str(folder), timeout_s=1200)
    return name


def _make_image(name: str, *variables: str, **bases: str) -> str:
    """By `make image`; the image's number, as another checkout's tests may take the name."""
    build_arguments = {"DEBIAN": BASE, "PIP_NO_INDEX": "1", **bases}
    options = " ".join(f"--build-arg {key}={value}" for key, value in build_arguments.items())
    options = f"BUILD_OPTIONS=--isolation=chroot --network=host {options}"
    command("make", "image", "ENGINE=podman", f"IMAGE={name}", *variables, options, timeout_s=2400)
    return command("podman", "image", "inspect", "--format", "{{.Id}}", name).stdout.strip()


def _fill_wheelhouse() -> None:
    """All packages of requirements/serving.txt, for the base's Python, as pip on this machine gets them."""
    lock = ROOT / "requirements" / "serving.txt"
    digest, stamp = hashlib.sha256(lock.read_bytes()).hexdigest(), WHEELHOUSE / "serving.sha256"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    python = shutil.which(f"python{PYTHON}") if sys.version_info[:2] != (3, 11) else sys.executable
    assert python, (
        f"Python {PYTHON}, which the base {SUITE} has, fetches the packages for it: apt-get install python{PYTHON}"
    )
    shutil.rmtree(WHEELHOUSE, ignore_errors=True)
    packages = ("--require-hashes", "--only-binary=:all:", "--requirement", str(lock))
    command(python, "-m", "pip", "download", "--quiet", "--dest", str(WHEELHOUSE), *packages, timeout_s=1800)
    stamp.write_text(digest)


@dataclass(frozen=True)
class Container:
    """One that runs in the background, its ports published on this machine's loopback."""

    name: str
    endpoints: Endpoints

    def exec(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        return command("podman", "exec", self.name, *arguments, check=check)

    def check_health(self) -> subprocess.CompletedProcess[str]:
        """The image's health check, once, as an engine runs it."""
        return command("podman", "healthcheck", "run", self.name, check=False)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        command("podman", "stop", "--time=60", self.name)
        return int(self.state("ExitCode"))

    def log(self) -> str:
        done = command("podman", "logs", self.name, check=False)
        return done.stdout + done.stderr

    def state(self, field: str) -> str:
        return command("podman", "inspect", "--format", f"{{{{.State.{field}}}}}", self.name).stdout.strip()

    def wait_for(self, words: str) -> None:
        """Until its log holds them, or it has ended."""
        wait_until(lambda: words in self.log() or self.state("Running") != "true", self.log, START_TIMEOUT_S)
        assert words in self.log(), self.log()


@contextmanager
def running(
    image: str, *arguments: str, options: tuple[str, ...] = (), ready: str = "ready: gRPC"
) -> Iterator[Container]:
    """A container that is ready; gone at the end."""
    endpoints = Endpoints.free()
    name = f"tritonface-test-{os.getpid()}-{endpoints.grpc_port}"
    inside = {"http": 8000, "grpc": 8001, "metrics": 8002}
    ports = [f"--publish=127.0.0.1:{port}:{inside[purpose]}" for purpose, port in endpoints.ports.items()]
    settings = (*HARDENED, *ports, *options)
    try:
        command(*RUN, "--detach", f"--name={name}", *settings, image, *arguments)
        container = Container(name, endpoints)
        container.wait_for(ready)
        yield container
    finally:
        command("podman", "rm", "--force", "--time=1", "--ignore", name, check=False)


def start_time_s(image: str) -> float:
    """From the command to the answer that the server is ready."""
    began = time.monotonic()
    with running(image, "--insecure"):
        return time.monotonic() - began


def ended(image: str, *arguments: str, **changed: Any) -> subprocess.CompletedProcess[str]:
    """A container that has ended by itself; `changed` are settings of the service that are other ones."""
    return command(*RUN, "--rm", *run_options(SERVICES["server"] | changed), image, *arguments, check=False)


def image_bytes(image: str) -> int:
    """Of all its layers, unpacked."""
    return int(command("podman", "image", "inspect", "--format", "{{.Size}}", image).stdout)


def own_bytes(image: str, base: str = BASE) -> int:
    """Of the layers that are not its base's."""
    return image_bytes(image) - image_bytes(base)
