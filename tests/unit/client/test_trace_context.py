"""The OpenTelemetry context of the caller as headers."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from opentelemetry.sdk.trace import TracerProvider

from tritonface._trace_context import trace_headers

TRACER = TracerProvider().get_tracer("an application")


def test_nothing_without_a_span() -> None:
    assert trace_headers() == {}


def test_an_application_that_does_not_trace_imports_nothing() -> None:
    code = "import sys, tritonface._trace_context as own; assert own.trace_headers() == {}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "opentelemetry" not in modules


def test_each_task_has_its_own() -> None:
    async def one() -> tuple[str, str]:
        with TRACER.start_as_current_span("detect") as span:
            await asyncio.sleep(0)
            return f"{span.get_span_context().trace_id:032x}", trace_headers()["traceparent"]

    async def both() -> list[tuple[str, str]]:
        return await asyncio.gather(one(), one())

    (first, sent_first), (second, sent_second) = asyncio.run(both())
    assert first != second and sent_first.split("-")[1] == first and sent_second.split("-")[1] == second
