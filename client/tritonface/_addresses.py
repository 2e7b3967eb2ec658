"""Host names that stand for several servers, each at an address of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import NamedTuple

LOOK_UP_TIMEOUT_S = 5.0


class Place(NamedTuple):
    """Where one server is.

    Attributes:
        url: host:port to connect to.
        name: host:port as the caller has written it: the same, or a name that has `url` among its addresses.
    """

    url: str
    name: str


def is_name(url: str) -> bool:
    """Whether the host of host:port may have several addresses."""
    host = _host(url)
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host != "localhost"
    return False


async def places_of(url: str, timeout_s: float) -> list[Place] | None:
    """The servers at host:port; None where the name cannot be resolved now.

    Each address of a name counts as a server if there are several of IPv4, or, without any of IPv4, of IPv6: a name
    with one address of both means one machine. A single one is left to the protocol, name and all.
    """
    if not is_name(url):
        return [Place(url, url)]
    port = url.rpartition(":")[2]
    look_up = asyncio.get_running_loop().getaddrinfo(_host(url), int(port), type=socket.SOCK_STREAM)
    try:
        found = await asyncio.wait_for(look_up, min(timeout_s, LOOK_UP_TIMEOUT_S))
    except (OSError, UnicodeError, asyncio.TimeoutError):
        return None
    old = sorted({address[0] for family, *_, address in found if family == socket.AF_INET})
    new = sorted({f"[{address[0]}]" for family, *_, address in found if family == socket.AF_INET6})
    addresses = old or new
    return [Place(f"{address}:{port}", url) for address in addresses] if len(addresses) > 1 else [Place(url, url)]


def _host(url: str) -> str:
    return url.rpartition(":")[0].strip("[]")
