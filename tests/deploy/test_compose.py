"""Server, gateway, Prometheus and Alertmanager together, with the files that compose.yaml mounts; addresses rewritten.

Debian's packages run here instead of the images, which registries have; Grafana is not among them.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from tests.deploy.composition import SERVICES, mounted
from tests.functional.L0_gateway.gateway import CONFIGURATION, Gateway, running_gateway
from tests.functional.L0_metrics.test_prometheus import ALERT, FAST, infer
from tests.prometheus import answers, ask
from tests.scrape import wait_until
from tritonface import Connection, ServerError, create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

HURRY = [*FAST, (r"group_wait: \d+s", "group_wait: 1s"), (r"group_interval: \d+m", "group_interval: 1s")]


@dataclass(frozen=True)
class Stack:
    """Addresses of what runs, and the messages that people were sent."""

    gateway: Gateway
    prometheus: str
    alertmanager: str
    messages: queue.Queue[dict[str, object]]


@pytest.fixture(scope="module")
def stack(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    prometheus, alertmanager = Endpoints.free().http, Endpoints.free().http
    ends = server.endpoints
    addresses = {
        "server:8000": ends.http,
        "server:8001": ends.grpc,
        "server:8002": f"{ends.host}:{ends.metrics_port}",
        "alertmanager:9093": alertmanager,
        "/run/secrets/": f"{folder}/",
        "/etc/prometheus/": f"{folder}/",
        "/etc/alertmanager/": f"{folder}/",
        "=/prometheus": f"={folder}/prometheus",
        "=/alertmanager": f"={folder}/alertmanager",
    }
    with receiver() as (url, messages):
        (folder / "alerts_url").write_text(url)
        watchers = (
            running("alertmanager", alertmanager, folder, addresses),
            running("prometheus", prometheus, folder, addresses),
        )
        with watchers[0], watchers[1], running_gateway(server, folder) as gateway:
            yield Stack(gateway, prometheus, alertmanager, messages)


@contextmanager
def running(name: str, address: str, folder: Path, addresses: dict[str, str]) -> Iterator[None]:
    """A service's program with the command and the files of compose.yaml."""

    def rewritten(text: str) -> str:
        for ours, here in addresses.items():
            text = text.replace(ours, here)
        return text

    for path, target in mounted(SERVICES[name]).items():
        text = rewritten(path.read_text())
        for pattern, faster in HURRY:
            text = re.sub(pattern, faster, text)
        (folder / Path(target).name).write_text(text)
    program = {"alertmanager": "prometheus-alertmanager"}.get(name, name)
    arguments = [rewritten(argument) for argument in SERVICES[name]["command"]]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([program, *arguments, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(address), (folder / f"{name}.log").read_text, 60)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[dict[str, object]]]]:
    """Where alerts go in the end: the address of something that takes Slack's messages, and those that it has taken."""
    messages: queue.Queue[dict[str, object]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/hook", messages
        http.shutdown()


def test_the_gateway_runs_the_file_that_compose_mounts() -> None:
    assert [path.resolve() for path in mounted(SERVICES["gateway"])] == [CONFIGURATION.resolve()]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_detection_with_a_token_and_none_without(stack: Stack, solvay: Path, protocol: str) -> None:
    connection = stack.gateway.connection(protocol, "alice")
    with create_model("PP-YOLOE_plus-S_face", connection=connection) as model:
        assert [len(result) for result in model.predict(str(solvay))] == [29]
    stranger = Connection(connection.url, protocol, tls=connection.tls)
    with pytest.raises(ServerError, match="no known token"):
        create_model("PP-YOLOE_plus-S_face", connection=stranger)


def test_prometheus_scrapes_the_server(stack: Stack) -> None:
    def up() -> bool:
        result = ask(stack.prometheus, "query", query='up{job="tritonface"}')["result"]
        return [row["value"][1] for row in result] == ["1"]

    wait_until(up, lambda: ask(stack.prometheus, "targets"))


def test_an_alert_reaches_alertmanager_and_people(stack: Stack, server: TritonServer) -> None:
    """And its end, too."""
    told: list[str] = []

    def is_told(words: str) -> bool:
        while not stack.messages.empty():
            told.append(json.dumps(stack.messages.get()))
        return any(words in message for message in told)

    def after_a_refusal() -> bool:
        with suppress(InferenceServerException):
            infer(server, b"no image")
        return is_told(f"FIRING: {ALERT}")

    wait_until(after_a_refusal, lambda: (told, ask(stack.prometheus, "alerts")), 60)
    alerts = subprocess.run(
        ["amtool", "alert", f"--alertmanager.url=http://{stack.alertmanager}", "--output=json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ALERT in {alert["labels"]["alertname"] for alert in json.loads(alerts.stdout)}
    wait_until(lambda: is_told(f"RESOLVED: {ALERT}"), lambda: told, 60)
