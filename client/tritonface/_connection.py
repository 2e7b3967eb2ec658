"""Which server to talk to and how: arguments first, then environment variables, then defaults."""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonface._errors import InvalidArgumentError
from tritonface._numbers import Number, Whole, number, whole_number

DEFAULT_URLS = {"grpc": "127.0.0.1:8001", "http": "127.0.0.1:8000"}
DEFAULT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class TLS:
    """How to encrypt the connection.

    Attributes:
        ca_file: PEM file of the authorities that may vouch for the server; None for those of the system.
        cert_file, key_file: PEM files of the client's own certificate and key, for mutual TLS.
    """

    ca_file: str | os.PathLike[str] | None = None
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise InvalidArgumentError("TLS needs cert_file and key_file together, for mutual TLS, or neither")
        for name in ("ca_file", "cert_file", "key_file"):
            value = getattr(self, name)
            if value is not None and not Path(value).is_file():
                raise InvalidArgumentError(f"TLS: {name} {os.fspath(value)!r} is not a file")

    def context(self) -> ssl.SSLContext:
        """The same for Python's own TLS.

        Raises:
            InvalidArgumentError: a file is no PEM file, or key and certificate do not belong together.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (ssl.SSLError, OSError) as error:
            raise InvalidArgumentError(f"TLS: the PEM files cannot be used: {error}") from error
        return context


@dataclass(frozen=True, init=False)
class Connection:
    """A server, or several that are equal, and the rules for talking: `create_model(..., connection=Connection(...))`.

    Attributes:
        url: host:port, or several with commas between them, which may be given as a list too; if not given the
            environment variable TRITONFACE_URL, then 127.0.0.1:8001 for gRPC and 127.0.0.1:8000 for HTTP. Of a name
            that has several addresses each is a server.
        protocol: "grpc" or "http"; if not given TRITONFACE_PROTOCOL, then gRPC.
        timeout_s: deadline in seconds of each image, repetitions included, and of every other call; if not given
            TRITONFACE_TIMEOUT_S, then 30.
        retries: how often an image is sent again while the server is unavailable; None for as often as the deadline
            allows. `create_model` itself does not try again, so that a wrong address is told at once.
        tls: encrypts the connection; None for a plain one.
        headers: sent with every call, e.g. {"authorization": "Bearer ..."}; names are made lower case, for gRPC.
        shared_memory: hand images from 256 KiB on to a server on this machine through shared memory, as soon as it has
            mapped some; without effect where the server is elsewhere or does not allow it, as without its key. False:
            never.
        key: of the server's restricted APIs: shared memory, lists of models, `model_dir=`. If not given it is read from
            the file that TRITONFACE_KEY_FILE names, else from TRITONFACE_KEY. It is sent with these calls only.

    Raises:
        InvalidArgumentError: an argument, or a variable, is of no use.
    """

    url: str
    protocol: str
    timeout_s: float
    retries: int | None
    tls: TLS | None
    headers: Mapping[str, str] = field(repr=False)  # they may hold a password
    shared_memory: bool
    key: str | None = field(repr=False)

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        protocol: str | None = None,
        *,
        timeout_s: Number | None = None,
        retries: Whole | None = None,
        tls: TLS | None = None,
        headers: Mapping[str, str] | None = None,
        shared_memory: bool = True,
        key: str | None = None,
    ) -> None:
        if tls is not None and not isinstance(tls, TLS):
            raise InvalidArgumentError(f"tls must be a tritonface.TLS, got {type(tls).__name__}")
        checked = _protocol(protocol)
        values = {
            "url": _url(url, checked),
            "protocol": checked,
            "timeout_s": _timeout_s(timeout_s),
            "retries": _retries(retries),
            "tls": tls,
            "headers": {str(name).lower(): str(value) for name, value in (headers or {}).items()},
            "shared_memory": bool(shared_memory),
            "key": _key(key),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the only time that a frozen object is written

    @property
    def servers(self) -> tuple[str, ...]:
        """Each host:port of `url`."""
        return tuple(self.url.split(","))


def _protocol(argument: str | None) -> str:
    protocol = argument or os.environ.get("TRITONFACE_PROTOCOL") or "grpc"
    if protocol not in DEFAULT_URLS:
        raise InvalidArgumentError(f"protocol must be one of {', '.join(map(repr, DEFAULT_URLS))}, got {protocol!r}")
    return protocol


def _url(argument: str | Sequence[str] | None, protocol: str) -> str:
    given = (
        os.environ.get("TRITONFACE_URL") or DEFAULT_URLS[protocol] if argument is None or argument == "" else argument
    )
    urls = given.split(",") if isinstance(given, str) else given
    if not isinstance(urls, (list, tuple)) or not urls:
        raise InvalidArgumentError(
            f"url is host:port, or a list of them, e.g. {DEFAULT_URLS[protocol]!r}, got {given!r}"
        )
    return ",".join(dict.fromkeys(_checked_url(url, protocol) for url in urls))


def _checked_url(url: str, protocol: str) -> str:
    stripped = url.strip() if isinstance(url, str) else ""
    if "://" in stripped:
        raise InvalidArgumentError(f"url is host:port without a scheme, got {url!r}; choose gRPC or HTTP by protocol=")
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/,\[\]]+):\d{1,5}", stripped):
        raise InvalidArgumentError(f"url is host:port, e.g. {DEFAULT_URLS[protocol]!r}, got {url!r}")
    return stripped


def _timeout_s(argument: Number | None) -> float:
    variable = os.environ.get("TRITONFACE_TIMEOUT_S")
    if argument is None and variable:
        try:
            argument = float(variable)
        except ValueError:
            raise InvalidArgumentError(f"TRITONFACE_TIMEOUT_S must be a number of seconds, got {variable!r}") from None
    if argument is None:
        return DEFAULT_TIMEOUT_S
    seconds = number(argument)
    if seconds is None or not 0 < seconds < math.inf:
        raise InvalidArgumentError(f"timeout_s must be a positive number of seconds, got {argument!r}")
    return seconds


def _retries(argument: Whole | None) -> int | None:
    retries = whole_number(argument)
    if argument is not None and (retries is None or retries < 0):
        raise InvalidArgumentError(f"retries must be a whole number from 0 on, or None, got {argument!r}")
    return retries


def _key(argument: str | None) -> str | None:
    if argument is not None and (not isinstance(argument, str) or not argument):
        raise InvalidArgumentError("key must be the text of a server's key")
    file = os.environ.get("TRITONFACE_KEY_FILE")
    if argument is None and file:
        try:
            key = Path(file).read_text().strip()
        except (OSError, UnicodeError) as error:
            raise InvalidArgumentError(f"TRITONFACE_KEY_FILE: {file!r} cannot be read: {error}") from None
        if not key:
            raise InvalidArgumentError(f"TRITONFACE_KEY_FILE: {file!r} is empty")
        return key
    return argument or os.environ.get("TRITONFACE_KEY") or None
