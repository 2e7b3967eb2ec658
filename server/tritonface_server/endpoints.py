"""Where a server listens."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


@dataclass(frozen=True)
class Endpoints:
    """An address and a port for each protocol.

    Attributes:
        host: a name or an address, of IPv6 too.
        plain_host: another one for HTTP and the metrics, which Triton cannot encrypt; None for the same.
    """

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    plain_host: str | None = None

    @classmethod
    def free(cls, host: str = "127.0.0.1") -> Endpoints:
        """Three ports that nobody uses or is about to, and that the system gives to no connection meanwhile."""
        found: list[int] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for port in random.SystemRandom().sample(_ports_of_no_connection(), 100):  # processes may share a seed
            with suppress(OSError), reserved(host, port), socket.create_server((host, port), family=family):
                found.append(port)
            if len(found) == 3:
                return cls(host, found[0], found[1], found[2])
        raise OSError(f"none of 100 ports tried on {host} is free")

    @property
    def http(self) -> str:
        return f"{_bracketed(self.plain_host or self.host)}:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"{_bracketed(self.host)}:{self.grpc_port}"

    @property
    def ports(self) -> dict[str, int]:
        """Each port by what it is for, the word in tritonserver's options."""
        return {"http": self.http_port, "grpc": self.grpc_port, "metrics": self.metrics_port}

    @property
    def hosts(self) -> dict[str, str]:
        """Each host by what it is for."""
        plain = self.plain_host or self.host
        return {"http": plain, "grpc": self.host, "metrics": plain}

    @property
    def options(self) -> list[str]:
        """Arguments for tritonserver, of which each protocol writes IPv6 in a way of its own."""
        plain = self.plain_host or self.host
        plain = f"ipv6:{plain}" if ":" in plain else plain
        addresses = {"http": plain, "grpc": _bracketed(self.host), "metrics": plain}
        return [
            *(f"--{purpose}-address={address}" for purpose, address in addresses.items()),
            *(f"--{purpose}-port={port}" for purpose, port in self.ports.items()),
        ]


@contextmanager
def reserved(host: str, port: int) -> Iterator[None]:
    """Keep other launchers from a port within the block, though nothing listens there; OSError if one has it."""
    with socket.socket(socket.AF_UNIX) as lock:
        lock.bind(f"\0tritonface-{host}-{port}")  # a name without a file, which goes with the process
        yield


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ports_of_no_connection() -> list[int]:
    """Ports from 10000 on that the system does not choose for outgoing connections; all where it chooses from all."""
    first, last = map(int, EPHEMERAL_PORTS.read_text().split()) if EPHEMERAL_PORTS.is_file() else (32768, 60999)
    ports = range(10_000, 65_536)
    outside = [port for port in ports if not first <= port <= last]
    return outside if len(outside) > 100 else list(ports)
