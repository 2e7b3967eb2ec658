"""What a machine needs to run Triton without a container, checked before anything starts."""

from __future__ import annotations

import importlib.util
import platform
import socket
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tritonface_server.endpoints import reserved
from tritonface_server.errors import CommandError

MIN_GLIBC = (2, 35)


class LaunchError(CommandError):
    """The server cannot start; the message says what is missing and how to mend it."""


@dataclass(frozen=True)
class Triton:
    """Where the parts of the server lie.

    Attributes:
        binary: the tritonserver executable.
        python_backend: folder of the Python backend, without a stub.
        stub: the Python backend's stub for the running interpreter.
        library_folders: what `LD_LIBRARY_PATH` must hold.
    """

    binary: Path
    python_backend: Path
    stub: Path
    library_folders: tuple[Path, ...]


def find_triton() -> Triton:
    """Locate tritonserver in the installed wheel `nvidia-pytriton` and check that it can run here.

    Raises:
        LaunchError: no wheel, an interpreter it has no stub for, an old glibc, or no shared libpython.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise LaunchError(
            "tritonserver is not installed in this environment; run `make setup` and use .venv/bin/python"
        )
    package = Path(spec.submodule_search_locations[0])
    check_glibc(*platform.libc_ver())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stubs = package / "tritonserver" / "python_backend_stubs"
    stub = stubs / version / "triton_python_backend_stub"
    if not stub.is_file():
        known = ", ".join(sorted(folder.name for folder in stubs.iterdir()))
        raise LaunchError(
            f"tritonserver has no Python backend for Python {version}, only for {known}; use one of those"
        )
    return Triton(
        binary=package / "tritonserver" / "bin" / "tritonserver",
        python_backend=package / "tritonserver" / "backends" / "python",
        stub=stub,
        library_folders=(find_libpython(*libpython_places()).parent, package.parent / "nvidia_pytriton.libs"),
    )


def check_glibc(library: str, version: str) -> None:
    """LaunchError unless the C library is a glibc that the wheel's binaries run on."""
    wanted = ".".join(map(str, MIN_GLIBC))
    if library != "glibc":
        raise LaunchError(f"tritonserver needs Linux with glibc >= {wanted}; this system's C library is not glibc")
    if tuple(map(int, version.split(".")[:2])) < MIN_GLIBC:
        raise LaunchError(
            f"tritonserver needs glibc >= {wanted}, this system has {version}; "
            "use a newer system (Debian 12, Ubuntu 22.04) or Triton's container"
        )


def find_libpython(name: str, folders: list[Path]) -> Path:
    """The interpreter's shared library, which Triton's Python backend embeds.

    Raises:
        LaunchError: this interpreter has none.
    """
    for folder in folders:
        if ".so" in name and (folder / name).is_file():
            return folder / name
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise LaunchError(
        f"this Python ({sys.base_prefix}) has no shared libpython{version}.so, which Triton's Python backend needs; "
        f"install it (Debian, Ubuntu: `apt-get install libpython{version}`; pyenv: build with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared), remove .venv and run `make setup` again"
    )


def libpython_places() -> tuple[str, list[Path]]:
    """File name of the running interpreter's shared library (a static one has .a) and where it may lie."""
    variables = sysconfig.get_config_vars()
    folders = [variables.get("LIBDIR"), Path(sys.base_prefix, "lib"), variables.get("LIBPL")]
    if variables.get("MULTIARCH"):
        folders.append(Path("/usr/lib", variables["MULTIARCH"]))
    return variables.get("INSTSONAME") or "", [Path(folder) for folder in folders if folder]


def check_port(host: str, port: int, purpose: str) -> None:
    """LaunchError unless the server can listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: skip old TIME_WAITs
            probe.bind(address)
    except OSError as error:
        raise LaunchError(
            f"cannot listen on {host}:{port} for {purpose}: {error.strerror}; stop what uses the port, or choose "
            f"another one (`make serve {purpose.upper()}_PORT=...`)"
        ) from None


@contextmanager
def port_lock(host: str, port: int) -> Iterator[None]:
    """Keep other launchers from a port while its server is starting: until the end of the block.

    Raises:
        LaunchError: another one has it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(reserved(host, port))
        except OSError:
            raise LaunchError(f"another server is starting on {host}:{port}; choose another port") from None
        yield
