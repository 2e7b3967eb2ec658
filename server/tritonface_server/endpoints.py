"""Where a server listens."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from dataclasses import dataclass

LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


@dataclass(frozen=True)
class Endpoints:
    """An address and a port for each protocol."""

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002

    @classmethod
    def free(cls, host: str = "127.0.0.1") -> Endpoints:
        """Three ports that nobody uses at the moment."""
        with ExitStack() as stack:
            probes = [stack.enter_context(socket.create_server((host, 0))) for _ in range(3)]
            return cls(host, *(probe.getsockname()[1] for probe in probes))

    @property
    def http(self) -> str:
        return f"{self.host}:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"{self.host}:{self.grpc_port}"

    @property
    def ports(self) -> dict[str, int]:
        """Each port by what it is for, the word in tritonserver's options."""
        return {"http": self.http_port, "grpc": self.grpc_port, "metrics": self.metrics_port}
