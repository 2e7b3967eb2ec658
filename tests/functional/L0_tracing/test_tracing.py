"""A collector receives the spans of a request that brings a trace context, from the server as a user starts it."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from tests.launched import launched
from tritonface import Connection, create_model
from tritonface_server.endpoints import Endpoints

DELAY_MS = 100
"""How long Triton gathers spans, 5 s by itself."""
ATTEMPTS, TIMEOUT_S = 5, 8
CALLER_SPAN = "00f067aa0ba902b7"
STEPS = ("640x640_cubic_preprocess", "BlazeFace_detector", "BlazeFace_postprocess")

pytestmark = pytest.mark.server


class Collector(ThreadingHTTPServer):
    """Takes traces by OTLP over HTTP, as JSON."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[dict[str, Any]] = []
        self.begun: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def trace(self, send: Callable[[str], None], count: int = 8) -> list[dict[str, Any]]:
        """The spans of one request, sent anew if they do not come: Triton loses some now and then.

        Args:
            send: sends a request that brings this trace id.
            count: of the spans that are waited for.
        """
        for _ in range(ATTEMPTS):
            trace_id = secrets.token_hex(16)
            self.begun.add(trace_id)
            send(trace_id)
            deadline = time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                spans = [span for span in self.spans if span["traceId"] == trace_id]
                if len(spans) >= count:
                    return spans
                time.sleep(0.05)
        raise AssertionError(f"{len(spans)} of {count} spans have come, of {len(self.spans)} in all")


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


def traceparent(trace_id: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{CALLER_SPAN}-01"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_span_for_each_step(traced: Endpoints, collector: Collector, astronaut: Path, protocol: str) -> None:
    begin_ns, request_ids = time.time_ns(), []
    found = collector.trace(lambda it: request_ids.append(detect(traced, protocol, astronaut, traceparent(it))))
    spans = {span["name"]: span for span in found if span["name"] != "compute"}
    assert set(spans) == {"InferRequest", "BlazeFace", *STEPS}
    assert spans["InferRequest"]["parentSpanId"] == CALLER_SPAN
    assert spans["BlazeFace"]["parentSpanId"] == spans["InferRequest"]["spanId"]
    assert {spans[step]["parentSpanId"] for step in STEPS} == {spans["BlazeFace"]["spanId"]}
    assert {span["service"] for span in spans.values()} == {"tritonface"}
    named = {"key": "triton.request_id", "value": {"stringValue": request_ids[-1]}}
    assert all(named in spans[model]["attributes"] for model in ("BlazeFace", *STEPS))
    starts_ns = [int(spans[step]["startTimeUnixNano"]) for step in STEPS]
    assert begin_ns <= starts_ns[0] < starts_ns[1] < starts_ns[2] <= time.time_ns()


def test_a_request_without_a_trace_context_or_with_a_wrong_one_is_not_traced(
    traced: Endpoints, collector: Collector, astronaut: Path
) -> None:
    detect(traced, "grpc", astronaut, {})
    detect(traced, "grpc", astronaut, {"traceparent": "00-no-context"})
    collector.trace(lambda trace_id: detect(traced, "grpc", astronaut, traceparent(trace_id)))
    assert {span["traceId"] for span in collector.spans} <= collector.begun


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_span_of_an_application_is_the_parent(
    traced: Endpoints, collector: Collector, astronaut: Path, protocol: str
) -> None:
    contexts = []

    def send(trace_id: str) -> None:
        ids = type("OneTrace", (RandomIdGenerator,), {"generate_trace_id": lambda _: int(trace_id, 16)})
        tracer = TracerProvider(id_generator=ids()).get_tracer("an application")
        with tracer.start_as_current_span("detect") as span:
            contexts.append(span.get_span_context())
            detect(traced, protocol, astronaut, {})

    (request,) = [span for span in collector.trace(send) if span["name"] == "InferRequest"]
    assert request["parentSpanId"] == f"{contexts[-1].span_id:016x}"
