"""URLs as inputs: what is refused, and what comes back, from real little web servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from tritonface import ImageError, InvalidArgumentError, UrlPolicy
from tritonface._fetch import fetch, is_public, is_url
from tritonface._limits import MAX_ENCODED_BYTES

PICTURE = bytes(range(256)) * 16
HERE = UrlPolicy(allow_private=True, timeout_s=5)


class Handler(BaseHTTPRequestHandler):
    """/picture, /redirect/N, /to/ADDRESS, /endless, /large, /slow, /drip, /gzip; everything else is missing."""

    seen: list[str] = []

    def do_GET(self) -> None:
        self.seen.append(self.path)
        _, word, *rest = self.path.split("/", 2)
        with contextlib.suppress(ConnectionError):
            getattr(self, f"_{word.partition('?')[0]}", self._missing)(*rest)

    def _picture(self, *_: str) -> None:
        self._answer(200, PICTURE)

    def _redirect(self, count: str) -> None:
        self._answer(302, b"", Location=f"/redirect/{int(count) - 1}" if int(count) > 1 else "/picture")

    def _to(self, address: str) -> None:
        self._answer(301, b"", Location=unquote(address))

    def _large(self, *_: str) -> None:
        self._answer(200, b"", **{"Content-Length": str(MAX_ENCODED_BYTES + 1)})

    def _endless(self, *_: str) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(2**20))

    def _slow(self, *_: str) -> None:
        time.sleep(1)

    def _drip(self, *_: str) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(40):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)

    def _gzip(self, *_: str) -> None:
        self._answer(200, PICTURE, **{"Content-Encoding": "gzip"})

    def _missing(self, *_: str) -> None:
        self._answer(404, b"")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def get(url: str, policy: UrlPolicy = HERE) -> bytes:
    return asyncio.run(fetch(url, policy))


@pytest.mark.parametrize("path", ["/picture", "/picture?size=large#top", "/redirect/1", "/redirect/5"])
def test_a_picture(site: str, path: str) -> None:
    assert get(site + path) == PICTURE


def test_names_are_resolved(site: str) -> None:
    assert get(site.replace("127.0.0.1", "localhost") + "/picture") == PICTURE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing", "HTTP status 404"),
        ("/redirect/6", "more than 5 redirects"),
        ("/large", "larger than the limit of 67,108,864 bytes"),
        ("/endless", "larger than the limit"),
        ("/gzip", "compressed"),
        ("/to/file:///etc/passwd", "only http and https"),
        ("/to/ftp://127.0.0.1/x", "only http and https"),
    ],
)
def test_what_is_not_taken(site: str, path: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        get(site + path)
    assert caught.value.input_path == site + path and site + path in str(caught.value)


@pytest.mark.parametrize("path", ["/slow", "/drip"])
def test_too_slow(site: str, path: str) -> None:
    with pytest.raises(ImageError, match=r"not complete within 0\.3 s"):
        get(site + path, UrlPolicy(allow_private=True, timeout_s=0.3))


def test_a_smaller_limit(site: str) -> None:
    with pytest.raises(ImageError, match="larger than the limit of 4,095 bytes"):
        get(site + "/picture", UrlPolicy(allow_private=True, max_bytes=4095))
    assert get(site + "/picture", UrlPolicy(allow_private=True, max_bytes=4096)) == PICTURE


def test_nobody_there() -> None:
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/x"
        with pytest.raises(ImageError, match=f"cannot fetch '{url}': Cannot connect"):
            get(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"]
)
def test_private_addresses_are_not_asked(site: str, host: str) -> None:
    Handler.seen.clear()
    port = site.rpartition(":")[2]
    with pytest.raises(ImageError, match=r"which is not public|is not a canonical IPv4 address"):
        get(f"http://{host}:{port}/picture", UrlPolicy(timeout_s=5))
    assert Handler.seen == []


def test_each_redirect_is_checked_again(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the web server's own port passes as public: the target of its redirect does not."""
    monkeypatch.setattr("tritonface._fetch.is_public", lambda address: address == "127.0.0.1")
    for target in ("http://169.254.169.254/latest", "http://[::1]/x", "http://10.0.0.1/x"):
        with pytest.raises(ImageError, match="not public"):
            get(f"{site}/to/{target}", UrlPolicy(timeout_s=5))


def test_a_name_that_changes_its_meaning(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the checked answer is the one that is used; the next answer is never asked for."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        return [
            {"hostname": host, "host": address, "port": port, "family": 2, "proto": 0, "flags": 0}
            for address in next(answers)
        ]

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    monkeypatch.setattr("tritonface._fetch.is_public", lambda address: address == "127.0.0.1")
    url = site.replace("127.0.0.1", "rebinding.example") + "/picture"
    assert get(url, UrlPolicy(timeout_s=5)) == PICTURE
    with pytest.raises(ImageError, match=r"rebinding\.example is the address 10\.0\.0\.1, which is not public"):
        get(url, UrlPolicy(timeout_s=5))


def test_the_off_switch(site: str) -> None:
    Handler.seen.clear()
    with pytest.raises(ImageError, match="fetching is off"):
        get(site + "/picture", UrlPolicy(allowed=False))
    assert Handler.seen == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("photo.jpg", False),
        ("http://a/b", True),
        ("HTTPS://a/b", True),
        ("ftp://a/b", True),
        ("s3+x://a/b", True),
        ("DATA:,", True),
        ("file:/a", True),
        ("httpx", False),
        ("C://a", False),
        ("a/b://c", False),
        ("://", False),
    ],
)
def test_is_url(text: str, expected: bool) -> None:
    assert is_url(text) is expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"max_bytes": 0},
        {"max_redirects": -1},
        {"max_bytes": 1.5},
        {"timeout_s": True},
    ],
)
def test_policies_of_no_use(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="UrlPolicy"):
        UrlPolicy(**arguments)
