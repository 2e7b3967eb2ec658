"""Who may change a running server: APIs behind a key, and how the key stays out of sight."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritonface_server.machine import LaunchError

RESTRICTED = ("model-repository", "shared-memory", "trace", "logging", "statistics")
"""Triton's APIs that need the key; health, metadata, configurations and inference stay open."""
HEADER = "triton-key"
GRPC_HEADER = f"triton-grpc-protocol-{HEADER}"
"""Triton asks for the same header under this name over gRPC."""
KEY = re.compile(r"[A-Za-z0-9_-]{16,128}")
"""What Triton takes on its command line without quoting, long enough not to be guessed."""
KEY_VARIABLE, KEY_FILE_VARIABLE = "TRITONFACE_KEY", "TRITONFACE_KEY_FILE"
PARSE_TIMEOUT_S = 10.0
PARSE_INTERVAL_S = 0.001


@dataclass(frozen=True)
class Access:
    """The key to a server's restricted APIs, and which of them need none.

    Attributes:
        key: a secret; random where nobody else is to know it.
        open_apis: those of `RESTRICTED` that every client may use.
    """

    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    open_apis: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """What a client sends over HTTP."""
        return {HEADER: self.key}

    @property
    def grpc_headers(self) -> dict[str, str]:
        """What a client sends over gRPC."""
        return {GRPC_HEADER: self.key}

    @property
    def options(self) -> list[str]:
        """Arguments for tritonserver."""
        apis = ",".join(api for api in RESTRICTED if api not in self.open_apis)
        setting = f"{apis}:{HEADER}={self.key}"
        return [f"--http-restricted-api={setting}", f"--grpc-restricted-protocol={setting}"] if apis else []


@dataclass(frozen=True)
class Certificates:
    """TLS of the gRPC endpoint, files in PEM format; Triton has none for HTTP.

    Attributes:
        cert: the server's certificate, with those that it is signed by.
        key: its private key.
        ca: who signs the certificates of clients, which then need one; None lets clients in without.

    Raises:
        LaunchError: one of the files cannot be read.
    """

    cert: Path
    key: Path
    ca: Path | None = None

    def __post_init__(self) -> None:
        for file in filter(None, (self.cert, self.key, self.ca)):
            if not os.access(file, os.R_OK) or not file.is_file():
                raise LaunchError(f"{file} is no file that can be read; TLS needs one in PEM format")

    @property
    def options(self) -> list[str]:
        """Arguments for tritonserver."""
        own = [f"--grpc-server-cert={self.cert}", f"--grpc-server-key={self.key}"]
        if self.ca is None:
            return ["--grpc-use-ssl=true", *own]
        return ["--grpc-use-ssl-mutual=true", *own, f"--grpc-root-cert={self.ca}"]


def find_key(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The key from a file, else from the variables TRITONFACE_KEY_FILE or TRITONFACE_KEY; None if there is none.

    Raises:
        LaunchError: the file cannot be read, or what it holds is no key.
    """
    named = file or (Path(environment[KEY_FILE_VARIABLE]) if environment.get(KEY_FILE_VARIABLE) else None)
    if named is None and not environment.get(KEY_VARIABLE):
        return None
    source = str(named) if named else f"the variable {KEY_VARIABLE}"
    try:
        key = named.read_text(errors="replace").strip() if named else environment[KEY_VARIABLE].strip()
    except OSError as error:
        raise LaunchError(f"the key cannot be read from {source}: {error.strerror}") from None
    if not KEY.fullmatch(key):
        raise LaunchError(
            f"{source} holds no key: 16 to 128 letters, digits, '_' and '-' are needed (openssl rand -hex 32)"
        )
    return key


def without_key(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for processes that need not know the key."""
    return {name: value for name, value in environment.items() if name not in (KEY_VARIABLE, KEY_FILE_VARIABLE)}


def hide(key: str, pid: int) -> None:
    """Overwrite a key among the arguments of a child process, where `ps` would show it, as soon as they are parsed.

    Triton takes the key on its command line only. Until this returns, a twentieth of a second after the start, other
    users of the machine can see it. Triton starts its threads after it has parsed its arguments.

    Raises:
        LaunchError: the system does not let a process write to its child.
    """
    process = Path("/proc", str(pid))
    deadline = time.monotonic() + PARSE_TIMEOUT_S
    try:
        while len(os.listdir(process / "task")) == 1 and time.monotonic() < deadline:  # noqa: PTH208 - twice as fast
            if _status(process)[0] == "Z":
                return  # it has ended
            time.sleep(PARSE_INTERVAL_S)
        start, end = map(int, _status(process)[45:47])
        with (process / "mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            arguments = memory.read(end - start)
            memory.seek(start)
            memory.write(arguments.replace(key.encode(), b"*" * len(key)))
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended
    except OSError as error:
        raise LaunchError(f"the key cannot be hidden from `ps`: {error.strerror} ({process}/mem)") from None


def _status(process: Path) -> list[str]:
    """The fields of /proc/PID/stat from the state on, the third."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()
