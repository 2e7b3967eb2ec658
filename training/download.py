"""One file over HTTPS, by pooch: certificate and hash checked, of a plausible size, whole or not at all."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from urllib.parse import urljoin

import pooch
import requests

SILENCE_S = 30.0


class DownloadError(RuntimeError):
    """A file that could not be downloaded, or is not what it was expected to be."""


def download(
    url: str,
    target: Path,
    *,
    min_bytes: int,
    max_bytes: int,
    sha256: str | None = None,
    certificates: Path | None = None,
    silence_s: float = SILENCE_S,
) -> None:
    """Have the file of `url` at `target`; nothing is done if one with the wanted hash is there.

    Args:
        min_bytes, max_bytes: what its announced size may be.
        sha256: what its hash must be; None: anything, and a file that is there is left as it is.
        certificates: a file of certificates to trust instead of the public ones.
        silence_s: for how long the server may send nothing.

    Raises:
        DownloadError: no connection, not HTTPS, an implausible or wrong size, another hash.
    """

    def check(response: requests.Response, **_: object) -> None:
        """Called for every answer, those that redirect included, before anything is written."""
        try:
            if response.is_redirect:
                _check_https(urljoin(response.url, response.headers["Location"]))
            elif response.ok:
                _check_announced(response, url, min_bytes, max_bytes)
        except DownloadError:
            response.close()
            raise

    _check_https(url)
    pooch.get_logger().setLevel(logging.WARNING)
    fetch = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=2**16,
        timeout=silence_s,
        hooks={"response": check},
        headers={"Accept-Encoding": "identity"},
        verify=True if certificates is None else str(certificates),
    )
    try:
        pooch.retrieve(url, sha256, fname=target.name, path=target.parent, downloader=fetch)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is a ValueError
        if isinstance(error, requests.RequestException) and error.response is not None:
            error.response.close()
        raise DownloadError(f"cannot download {url}: {_reason(error)}") from error


def _check_https(url: str) -> None:
    if not url.startswith("https://"):
        raise DownloadError(f"{url} is refused: files come over HTTPS only")


def _check_announced(response: requests.Response, url: str, min_bytes: int, max_bytes: int) -> None:
    length = response.headers.get("Content-Length", "")
    if "Content-Encoding" in response.headers or not (length.isascii() and length.isdigit()):
        raise DownloadError(f"the server does not say how long {url} is (Content-Length {length!r:.40})")
    if not min_bytes <= int(length) <= max_bytes:
        raise DownloadError(f"{url} has {int(length):,} bytes, expected were {min_bytes:,} to {max_bytes:,}")


def _reason(error: BaseException) -> str:
    """What was at the bottom of it: urllib3 and requests wrap it several times."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split()) or type(error).__name__
