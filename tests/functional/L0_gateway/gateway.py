"""A real nginx with the project's configuration, and clients that are not the SDK."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import write_certificates
from training.paths import ROOT
from tritonface import TLS, Connection
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

CONFIGURATION = ROOT / "deploy" / "gateway" / "nginx.conf"
CLIENTS = ("alice", "bob", "carol", "dave", "erin")
STRANGERS_ADDRESS = "127.0.0.2"
"""Where badly behaved clients come from: limits by address must not hit their neighbours."""


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs; `tokens` by the names of its clients."""

    address: str
    files: Path
    state: Path
    tokens: dict[str, str]

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.files / "ca.pem")

    def headers(self, client: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[client]}"}

    def connection(self, protocol: str, client: str) -> Connection:
        """The SDK's way in."""
        tls = TLS(self.files / "ca.pem")
        return Connection(self.address, protocol, tls=tls, headers=self.headers(client), timeout_s=20)

    def http(self) -> http.client.HTTPSConnection:
        """A stranger's way in."""
        return http.client.HTTPSConnection(
            self.address, context=self.tls, source_address=(STRANGERS_ADDRESS, 0), timeout=20
        )

    def socket(self, *protocols: str, source: str = STRANGERS_ADDRESS) -> ssl.SSLSocket:
        """The same, for bytes by hand."""
        host, port = self.address.split(":")
        context = self.tls
        if protocols:
            context.set_alpn_protocols(protocols)
        plain = socket.create_connection((host, int(port)), timeout=20, source_address=(source, 0))
        return context.wrap_socket(plain, server_hostname=host)

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, str]:
        """Status and text of one answer."""
        connection = self.http()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


@contextmanager
def running_gateway(server: TritonServer, folder: Path) -> Iterator[Gateway]:
    """A gateway before a server."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian, Ubuntu: apt-get install nginx)")
    address = Endpoints.free().http
    tokens = {name: secrets.token_hex(32) for name in CLIENTS}
    gateway = Gateway(address, folder / "files", folder / "state", tokens)
    for each in (gateway.files, gateway.state):
        each.mkdir()
    write_certificates(gateway.files, "server")
    lines = [f'"Bearer {token}" {name};\n' for name, token in gateway.tokens.items()]
    (gateway.files / "tokens").write_text("".join(lines))
    values = {
        "GATEWAY_PORT": address,
        "GATEWAY_FILES": str(gateway.files),
        "GATEWAY_STATE": str(gateway.state),
        "GATEWAY_LOGS": str(gateway.state),
        "TRITON_HTTP": server.endpoints.http,
        "TRITON_GRPC": server.endpoints.grpc,
    }
    text = re.sub(r"\$\{([A-Z_]+)\}", lambda match: values[match[1]], CONFIGURATION.read_text())
    (folder / "nginx.conf").write_text(text)
    # Its processes run as whoever runs the tests, whose temporary folders nobody else may enter.
    command = [nginx, "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", f"daemon off; pid {folder}/pid;{_user()}"]
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(command, stderr=errors)
    try:
        _wait_until_listening(process, address, folder / "errors")
        yield gateway
    finally:
        process.terminate()
        process.wait(10)


def _user() -> str:
    return " user root;" if os.geteuid() == 0 else ""


def _wait_until_listening(process: subprocess.Popen[bytes], address: str, errors: Path) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nginx does not listen: {errors.read_text()}")
