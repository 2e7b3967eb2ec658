"""A collector receives the spans of a request that brings a trace context, from the server as a user starts it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from tests.launched import launched
from tritonface import Connection, create_model
from tritonface_server.endpoints import Endpoints

DELAY_MS = 100
"""How long Triton gathers spans, 5 s by itself."""
CALLER_SPAN = "00f067aa0ba902b7"
STEPS = ("640x640_cubic_preprocess", "BlazeFace_detector", "BlazeFace_postprocess")

pytestmark = pytest.mark.server


class Collector(ThreadingHTTPServer):
    """Takes traces by OTLP over HTTP, as JSON."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def trace(self, trace_id: str, count: int, timeout_s: float = 30) -> list[dict[str, Any]]:
        """The spans of a trace, as soon as there are so many."""
        deadline = time.monotonic() + timeout_s
        while True:
            spans = [span for span in self.spans if span["traceId"] == trace_id]
            if len(spans) >= count:
                return spans
            assert time.monotonic() < deadline, f"{len(spans)} of {count} spans have come"
            time.sleep(0.05)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Triton's exporter keeps its connection, and loses what it sends into a closed one
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        for resource in json.loads(self.rfile.read(int(self.headers["Content-Length"])))["resourceSpans"]:
            facts = {item["key"]: item["value"] for item in resource["resource"]["attributes"]}
            for scope in resource["scopeSpans"]:
                self.server.spans += [
                    {**span, "service": facts["service.name"]["stringValue"]} for span in scope["spans"]
                ]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def traced(collector: Collector, one_detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """`tritonface-server serve --trace-to`."""
    soon = f"--trace-config=opentelemetry,bsp_schedule_delay={DELAY_MS}"
    folder = tmp_path_factory.mktemp("traced")
    with launched(folder, f"--trace-to={collector.url}", repository=one_detector, triton=(soon,)) as server:
        yield server.endpoints


def detect(ends: Endpoints, protocol: str, photo: Path, headers: dict[str, str]) -> str:
    """Sends one request; returns its id."""
    connection = Connection(url=getattr(ends, protocol), protocol=protocol, headers=headers)
    with create_model("BlazeFace", connection=connection) as model:
        (result,) = model.predict(photo)
        assert result["boxes"] and result.request_id
        return result.request_id


@pytest.mark.parametrize(("protocol", "digit"), [("grpc", "a"), ("http", "b")])
def test_a_span_for_each_step(
    traced: Endpoints, collector: Collector, astronaut: Path, protocol: str, digit: str
) -> None:
    begin_ns = time.time_ns()
    request_id = detect(traced, protocol, astronaut, {"traceparent": f"00-{digit * 32}-{CALLER_SPAN}-01"})
    spans = {span["name"]: span for span in collector.trace(digit * 32, count=8) if span["name"] != "compute"}
    assert set(spans) == {"InferRequest", "BlazeFace", *STEPS}
    assert spans["InferRequest"]["parentSpanId"] == CALLER_SPAN
    assert spans["BlazeFace"]["parentSpanId"] == spans["InferRequest"]["spanId"]
    assert {spans[step]["parentSpanId"] for step in STEPS} == {spans["BlazeFace"]["spanId"]}
    assert {span["service"] for span in spans.values()} == {"tritonface"}
    named = {"key": "triton.request_id", "value": {"stringValue": request_id}}
    assert all(named in spans[model]["attributes"] for model in ("BlazeFace", *STEPS))
    starts_ns = [int(spans[step]["startTimeUnixNano"]) for step in STEPS]
    assert begin_ns <= starts_ns[0] < starts_ns[1] < starts_ns[2] <= time.time_ns()


def test_a_request_without_a_trace_context_or_with_a_wrong_one_is_not_traced(
    traced: Endpoints, collector: Collector, astronaut: Path
) -> None:
    detect(traced, "grpc", astronaut, {})
    detect(traced, "grpc", astronaut, {"traceparent": "00-no-context"})
    detect(traced, "grpc", astronaut, {"traceparent": f"00-{'c' * 32}-{CALLER_SPAN}-01"})
    collector.trace("c" * 32, count=8)
    assert {span["traceId"] for span in collector.spans} <= {digit * 32 for digit in "abc"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_span_of_an_application_is_the_parent(
    traced: Endpoints, collector: Collector, astronaut: Path, protocol: str
) -> None:
    tracer = TracerProvider().get_tracer("an application")
    with tracer.start_as_current_span("detect") as span:
        detect(traced, protocol, astronaut, {})
    trace_id = f"{span.get_span_context().trace_id:032x}"
    (request,) = [span for span in collector.trace(trace_id, count=8) if span["name"] == "InferRequest"]
    assert request["parentSpanId"] == f"{span.get_span_context().span_id:016x}"
