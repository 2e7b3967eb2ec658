"""What `--trace-to` becomes, and what it refuses."""

from __future__ import annotations

import pytest

from tritonface_server.errors import CommandError
from tritonface_server.tracing import trace_arguments


def test_no_collector_no_tracing() -> None:
    assert trace_arguments(None) == ()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
    ],
)
def test_the_usual_path_is_added(given: str, used: str) -> None:
    assert f"--trace-config=opentelemetry,url={used}" in trace_arguments(given)


@pytest.mark.parametrize(
    "wrong", ["", "collector:4318", "grpc://collector:4317", "http://", "http://c:99999", "file:///x"]
)
def test_what_is_no_url_is_refused(wrong: str) -> None:
    with pytest.raises(CommandError, match="--trace-to takes the URL of a collector"):
        trace_arguments(wrong)
