"""One file over HTTPS: certificate checked, size known beforehand, and never longer than a set time."""

from __future__ import annotations

import ssl
import time
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

SILENCE_S = 30.0
CHUNK_BYTES = 2**16


class DownloadError(RuntimeError):
    """A file that could not be downloaded, or is not what it was expected to be."""


class _HttpsRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _check_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    target: Path,
    *,
    min_bytes: int,
    max_bytes: int,
    timeout_s: float,
    context: ssl.SSLContext | None = None,
) -> None:
    """Write the file at `url` to `target`, whole or not at all; its folder is made if need be.

    Args:
        min_bytes, max_bytes: what its announced size may be; the received size must then be the announced one.
        timeout_s: for all of it; the server may also be silent for no more than `SILENCE_S`.
        context: which certificates to trust; None: those of the system.

    Raises:
        DownloadError: no connection, not HTTPS, an implausible or wrong size, too slow.
    """
    _check_https(url)
    deadline_s = time.monotonic() + timeout_s
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPSHandler(context=context or ssl.create_default_context()),
        _HttpsRedirects(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    try:
        with opener.open(url, timeout=min(SILENCE_S, timeout_s)) as response, unfinished.open("wb") as file:
            _receive(response, file, url, _announced_bytes(response, url, min_bytes, max_bytes), deadline_s)
        unfinished.replace(target)
    except HTTPError as error:
        error.close()
        raise DownloadError(f"cannot download {url}: {error}") from error
    except (OSError, HTTPException) as error:
        raise DownloadError(f"cannot download {url}: {getattr(error, 'reason', None) or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _check_https(url: str) -> None:
    if not url.startswith("https://"):
        raise DownloadError(f"{url} is refused: files come over HTTPS only")


def _announced_bytes(response: HTTPResponse, url: str, min_bytes: int, max_bytes: int) -> int:
    length = response.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise DownloadError(f"the server does not say how long {url} is (Content-Length {length!r:.40})")
    if not min_bytes <= int(length) <= max_bytes:
        raise DownloadError(f"{url} has {int(length):,} bytes, expected were {min_bytes:,} to {max_bytes:,}")
    return int(length)


def _receive(response: HTTPResponse, file: IO[bytes], url: str, wanted: int, deadline_s: float) -> None:
    received = 0
    while chunk := response.read1(CHUNK_BYTES):
        received += len(chunk)
        if received > wanted:
            raise DownloadError(f"{url} has more than the announced {wanted:,} bytes")
        if time.monotonic() > deadline_s:
            raise DownloadError(f"{url} took too long: {received:,} of {wanted:,} bytes until the time-out")
        file.write(chunk)
    if received != wanted:
        raise DownloadError(f"{url} broke off after {received:,} of {wanted:,} bytes; try again")
