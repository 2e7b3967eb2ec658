"""Which server to talk to and how: arguments first, then environment variables, then defaults."""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

from tritonface._errors import InvalidArgumentError

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


@dataclass(frozen=True)
class Address:
    """A server and the rules for talking to it; made by `resolve`.

    Attributes:
        url: host:port.
        protocol: "grpc" or "http".
        timeout_s: deadline of one image or one other call, retries included.
        retries: how often a call is repeated when the server is unavailable; None for as often as the deadline allows.
        headers: sent with every call.
    """

    url: str
    protocol: str
    timeout_s: float
    retries: int | None = None
    tls: TLS | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def resolve(
    url: str | None = None,
    protocol: str | None = None,
    timeout_s: float | None = None,
    retries: int | None = None,
    tls: TLS | None = None,
    headers: Mapping[str, str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Address:
    """The address that arguments, TRITONFACE_URL, TRITONFACE_PROTOCOL and TRITONFACE_TIMEOUT_S give.

    Raises:
        InvalidArgumentError: one of them is of no use.
    """
    protocol = protocol or environment.get("TRITONFACE_PROTOCOL") or "grpc"
    if protocol not in DEFAULT_URLS:
        raise InvalidArgumentError(f"protocol must be one of {', '.join(map(repr, DEFAULT_URLS))}, got {protocol!r}")
    url = url or environment.get("TRITONFACE_URL") or DEFAULT_URLS[protocol]
    if "://" in url:
        raise InvalidArgumentError(f"url is host:port without a scheme, got {url!r}; choose gRPC or HTTP by protocol=")
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):\d{1,5}", url):
        raise InvalidArgumentError(f"url is host:port, e.g. {DEFAULT_URLS[protocol]!r}, got {url!r}")
    if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or retries < 0):
        raise InvalidArgumentError(f"retries must be a whole number from 0 on, or None, got {retries!r}")
    seconds = _seconds(timeout_s, environment.get("TRITONFACE_TIMEOUT_S"))
    if tls is not None and not isinstance(tls, TLS):
        raise InvalidArgumentError(f"tls must be a tritonface.TLS, got {type(tls).__name__}")
    return Address(url, protocol, seconds, retries, tls, {str(k).lower(): str(v) for k, v in (headers or {}).items()})


def _seconds(argument: float | None, variable: str | None) -> float:
    if argument is None and variable:
        try:
            argument = float(variable)
        except ValueError:
            raise InvalidArgumentError(f"TRITONFACE_TIMEOUT_S must be a number of seconds, got {variable!r}") from None
    if argument is None:
        return DEFAULT_TIMEOUT_S
    if isinstance(argument, bool) or not isinstance(argument, Real) or not 0 < float(argument) < math.inf:
        raise InvalidArgumentError(f"timeout_s must be a positive number of seconds, got {argument!r}")
    return float(argument)
