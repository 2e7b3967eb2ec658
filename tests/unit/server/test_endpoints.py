"""Addresses, as clients and as tritonserver write them."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

from tritonface_server.endpoints import LOOPBACK, Endpoints, _ports_of_no_connection
from tritonface_server.machine import LaunchError, port_lock


@pytest.mark.parametrize(
    ("host", "http", "http_option", "grpc_option"),
    [
        ("127.0.0.1", "127.0.0.1:8000", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"),
        ("::1", "[::1]:8000", "--http-address=ipv6:::1", "--grpc-address=[::1]"),
    ],
)
def test_ipv4_and_ipv6(host: str, http: str, http_option: str, grpc_option: str) -> None:
    ends = Endpoints(host)
    assert ends.http == http
    assert {http_option, grpc_option, "--metrics-port=8002"} <= set(ends.options)


def test_what_cannot_be_encrypted_listens_elsewhere() -> None:
    ends = Endpoints("192.0.2.1", plain_host="127.0.0.1")
    assert (ends.http, ends.grpc) == ("127.0.0.1:8000", "192.0.2.1:8001")
    assert ends.hosts == {"http": "127.0.0.1", "grpc": "192.0.2.1", "metrics": "127.0.0.1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_free_ports_are_three(host: str) -> None:
    assert len(set(Endpoints.free(host).ports.values())) == 3


def test_ports_of_servers_that_are_starting_are_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there yet."""
    ports = _ports_of_no_connection()[-100:]
    monkeypatch.setattr("tritonface_server.endpoints._ports_of_no_connection", lambda: ports)
    with ExitStack() as starting:
        for port in ports[:80]:
            with suppress(LaunchError):  # a server of another test
                starting.enter_context(port_lock("127.0.0.1", port))
        assert set(Endpoints.free().ports.values()) <= set(ports[80:])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_what_is_this_machine(host: str) -> None:
    assert LOOPBACK.fullmatch(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "::11", "10.0.0.1", "127.0.0.1.example.org", "localhost.example.org"]
)
def test_what_is_not_this_machine(host: str) -> None:
    assert not LOOPBACK.fullmatch(host)
