"""Traces of requests for an OpenTelemetry collector, made by Triton's own tracer."""

from __future__ import annotations

from urllib.parse import urlsplit

from tritonface_server.errors import CommandError

TRACES_PATH = "/v1/traces"
"""Where a collector takes traces by OTLP over HTTP."""


def trace_arguments(collector_url: str | None) -> tuple[str, ...]:
    """Arguments with which tritonserver traces the requests that bring a W3C `traceparent`, and no others.

    The spans of a request: its way through the protocol, the ensemble, and in it each step with its computing.

    Raises:
        CommandError: it is no URL of a collector.
    """
    if collector_url is None:
        return ()
    return (
        "--trace-config=mode=opentelemetry",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=0",
        f"--trace-config=opentelemetry,url={_traces_url(collector_url)}",
        "--trace-config=opentelemetry,resource=service.name=tritonface",
    )


def _traces_url(collector_url: str) -> str:
    try:
        parts = urlsplit(collector_url)
        is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.query
    except ValueError:  # of the port
        is_url = False
    if not is_url:
        raise CommandError(
            f"--trace-to takes the URL of a collector, http://127.0.0.1:4318 for example, not {collector_url!r}"
        )
    return parts._replace(path=parts.path.rstrip("/") or TRACES_PATH).geturl()
