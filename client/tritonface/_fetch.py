"""Fetches images from URLs, guarded: what a URL may point to is checked anew for every connection made."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from tritonface._data_url import decode_data_url, is_data_url
from tritonface._errors import ImageError, InvalidArgumentError
from tritonface._limits import FETCH_TIMEOUT_S, MAX_ENCODED_BYTES, MAX_REDIRECTS
from tritonface._numbers import number, whole_number

if TYPE_CHECKING:
    import aiohttp

SCHEMES = ("http", "https")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CHUNK_BYTES = 64 * 2**10
URL = re.compile(r"(data|file):|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
LONGEST_DATA_SHOWN, LONGEST_PATH = 64, 4096
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class UrlPolicy:
    """What `predict` does with URLs among its inputs.

    Attributes:
        allowed: fetch them at all.
        allow_private: also from private, loopback, link-local and reserved addresses.
        max_bytes: largest image; more is not read.
        timeout_s: for one image, redirects included.
        max_redirects: how many are followed; each target is checked like the first URL.
    """

    allowed: bool = True
    allow_private: bool = False
    max_bytes: int = MAX_ENCODED_BYTES
    timeout_s: float = FETCH_TIMEOUT_S
    max_redirects: int = MAX_REDIRECTS

    def __post_init__(self) -> None:
        if not 0 < (number(self.timeout_s) or 0) < math.inf:
            raise InvalidArgumentError(f"UrlPolicy: timeout_s must be a positive number, got {self.timeout_s!r}")
        for name, least in (("max_bytes", 1), ("max_redirects", 0)):
            value = whole_number(getattr(self, name))
            if value is None or value < least:
                raise InvalidArgumentError(
                    f"UrlPolicy: {name} must be a whole number from {least} on, got {getattr(self, name)!r}"
                )


class _RefusedError(Exception):
    """A URL that is not fetched; the message says why."""


def is_url(value: str) -> bool:
    """Whether an input is a URL, of whatever scheme, and no path."""
    return URL.match(value) is not None


def shown(url: str) -> str:
    """A path or URL as messages and results show it: whole, but for data in it."""
    longest = LONGEST_DATA_SHOWN if is_data_url(url) else LONGEST_PATH
    return url if len(url) <= longest else f"{url[:LONGEST_DATA_SHOWN]}... ({len(url):,} characters)"


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, seen through IPv6 wrappings of IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


async def fetch(url: str, policy: UrlPolicy) -> bytes:
    """The bytes behind an http or https URL, or in a data URL.

    Host names are resolved once per connection, and the connection goes to an address that was checked, so that a name
    cannot change its meaning in between. Proxies of the environment are not used.

    Raises:
        ImageError: of another scheme, refused by the policy, unreachable, not found, too large or too slow.
    """
    if is_data_url(url):
        return await _decode(url)
    if url.partition(":")[0].lower() not in SCHEMES:
        raise _not_fetched(url)
    if not policy.allowed:
        raise ImageError(f"{url!r} is a URL, and fetching is off; download it, or allow it by urls=UrlPolicy()", url)
    import aiohttp

    try:
        return await asyncio.wait_for(_fetch(url, policy), policy.timeout_s)
    except _RefusedError as error:
        raise ImageError(f"cannot fetch {url!r}: {error}", url) from error
    except asyncio.TimeoutError as error:
        raise ImageError(f"cannot fetch {url!r}: not complete within {policy.timeout_s:g} s", url) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        refused = _cause_of_refusal(error)
        raise ImageError(f"cannot fetch {url!r}: {refused or error or type(error).__name__}", url) from error


def _not_fetched(url: str) -> ImageError:
    file = re.sub(r"^file:(//[^/]*)?", "", url, flags=re.IGNORECASE)
    remedy = "download it first and pass the file" if file == url else f"pass the path itself, {unquote(shown(file))!r}"
    return ImageError(f"cannot read {shown(url)!r}: only http, https and data URLs are read; {remedy}", shown(url))


async def _decode(url: str) -> bytes:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, decode_data_url, url)
    except ImageError as error:
        raise ImageError(f"cannot read {shown(url)!r}: {error}", shown(url)) from error


async def _fetch(url: str, policy: UrlPolicy) -> bytes:
    import aiohttp

    connector = aiohttp.TCPConnector(resolver=_resolver(policy), use_dns_cache=False)
    limits = aiohttp.ClientTimeout(total=policy.timeout_s)
    headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "tritonface"}
    async with aiohttp.ClientSession(
        connector=connector, timeout=limits, headers=headers, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        target = url
        for _ in range(policy.max_redirects + 1):
            _check(target, policy)
            async with session.get(target, allow_redirects=False) as response:
                if response.status in REDIRECTS:
                    target = urljoin(target, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise _RefusedError(f"HTTP status {response.status} {response.reason or ''}".rstrip())
                return await _read(response, policy.max_bytes)
    raise _RefusedError(f"more than {policy.max_redirects} redirects")


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _RefusedError("it comes compressed, which was not asked for")
    data = bytearray()
    if (response.content_length or 0) <= max_bytes:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            data += chunk
            if len(data) > max_bytes:
                break
        else:
            return bytes(data)
    raise _RefusedError(f"it is larger than the limit of {max_bytes:,} bytes")


def _check(url: str, policy: UrlPolicy) -> None:
    parts = urlsplit(url)
    if parts.scheme.lower() not in SCHEMES or not parts.hostname:
        raise _RefusedError(f"it leads to {url!r}, and only http and https are fetched")
    try:
        ipaddress.ip_address(parts.hostname)
    except ValueError:
        return  # a name, which `_resolver` checks
    _check_address(parts.hostname, parts.hostname, policy)


def _check_address(host: str, address: str, policy: UrlPolicy) -> None:
    if not policy.allow_private and not is_public(address):
        raise _RefusedError(
            f"{host} is the address {address}, which is not public; "
            "pass urls=UrlPolicy(allow_private=True) if it is meant"
        )


def _resolver(policy: UrlPolicy) -> Any:
    """A resolver for aiohttp whose every address has been checked; a function, for aiohttp is imported late."""
    from aiohttp.abc import AbstractResolver
    from aiohttp.resolver import ThreadedResolver

    class Checked(AbstractResolver):
        def __init__(self) -> None:
            self._inner = ThreadedResolver()

        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Any]:
            found: list[Any] = await self._inner.resolve(host, port, socket.AF_UNSPEC)
            for entry in found:
                try:
                    _check_address(host, entry["host"], policy)
                except _RefusedError as error:
                    raise OSError(str(error)) from error
            return found

        async def close(self) -> None:
            await self._inner.close()

    return Checked()


def _cause_of_refusal(error: BaseException | None) -> _RefusedError | None:
    while error is not None and not isinstance(error, _RefusedError):
        error = error.__cause__ or getattr(error, "os_error", None)
    return error
