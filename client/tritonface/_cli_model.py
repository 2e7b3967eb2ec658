"""From the options of a command to a connection and an open detector."""

from __future__ import annotations

import argparse

from tritonface._connection import TLS, Connection
from tritonface._detector import FaceDetector, _open_again
from tritonface._fetch import UrlPolicy
from tritonface._options import Options
from tritonface._video import UNDER_WAY


def connection_of(options: argparse.Namespace) -> Connection:
    """Server, deadline, TLS and headers."""
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    return Connection(
        options.url,
        options.protocol,
        timeout_s=options.timeout,
        tls=TLS(*files) if options.tls or any(files) else None,
        headers=dict(header.split("=", 1) for header in options.header),
    )


def open_model(options: argparse.Namespace) -> FaceDetector:
    """The detector that a command asks for; `options.batch_size` is then set."""
    return _open_again(FaceDetector, detector_options(options))


def detector_options(options: argparse.Namespace) -> Options:
    """The same as arguments of `create_model`, nothing connected yet."""
    connection = connection_of(options)
    if options.batch_size is None:
        options.batch_size = UNDER_WAY * len(connection.servers)
    return Options(
        options.model,
        options.model_dir,
        device=options.device,
        img_size=options.img_size,
        threshold=options.threshold,
        use_hpip=options.hpi,
        batch_size=options.batch_size,
        max_side_px=options.max_side_px,
        urls=UrlPolicy(allowed=not options.no_urls, allow_private=options.private_urls),
        timings=getattr(options, "timings", False),
        strict=options.strict,
        tiles=options.tiles,
        connection=connection,
    )
