"""A real Prometheus scrapes the real server: what rules and dashboard ask for is there, alerts fire when they should.

Needs Debian's package `prometheus`, which brings `promtool` along.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml
from tritonclient.utils import InferenceServerException

from tests.prometheus import ask, program, running
from tests.scrape import scrape, wait_until
from training.paths import ROOT
from tritonface_server.metrics import FAMILIES
from tritonface_server.server import TritonServer

MONITORING = ROOT / "deploy" / "monitoring"
RULES, DASHBOARD, CONFIG = MONITORING / "alerts.yml", MONITORING / "dashboard.json", MONITORING / "prometheus.yml"
FAST = [
    (r"\[\d+[mh]\]", "[3s]"),
    (r"for: \d+m", "for: 1s"),
    (r"(scrape|evaluation)_interval: 15s", r"\1_interval: 500ms"),
]
"""The rules and the configuration as they stand, in a hurry."""

ALERT = "TritonfaceImagesRefused"


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """What the dashboard asks for, with Grafana's variables filled in."""
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [text.replace("$instance", ".+").replace("$__rate_interval", "3s") for text in asked]


@pytest.mark.parametrize("command", [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml")])
def test_promtool_takes_the_files(command: tuple[str, ...]) -> None:
    subprocess.run([program("promtool"), *command], cwd=MONITORING, check=True)


def test_each_alert_fires_and_does_not_fire_as_its_examples_say() -> None:
    subprocess.run([program("promtool"), "test", "rules", "alerts_test.yml"], cwd=MONITORING, check=True)
    examples = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())
    checks = [check for test in examples["tests"] for check in test["alert_rule_test"]]
    for fires in (True, False):
        assert {check["alertname"] for check in checks if bool(check.get("exp_alerts")) is fires} == set(alerts())


def test_every_metric_that_is_asked_for_exists(server: TritonServer) -> None:
    wait_until(lambda: set(FAMILIES) <= {metric.name for metric in scrape(server)})
    text = RULES.read_text() + "".join(expressions(json.loads(DASHBOARD.read_text())))
    asked = set(re.findall(r"\b(?:nv|tritonface)_[a-z_]+", text))
    assert asked <= {metric.name for metric in scrape(server)}
    assert set(FAMILIES) <= asked, "what nobody looks at need not be counted"


def test_every_metric_and_alert_is_explained() -> None:
    text = (MONITORING / "README.md").read_text()
    assert {name for name in (*FAMILIES, *alerts()) if f"`{name}`" not in text} == set()


@pytest.fixture(scope="module")
def prometheus(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one that scrapes the server, with our configuration and rules in a hurry."""
    folder = tmp_path_factory.mktemp("prometheus")
    for file in (RULES, CONFIG):
        text = file.read_text().replace("127.0.0.1:8002", f"{server.endpoints.host}:{server.endpoints.metrics_port}")
        for pattern, faster in FAST:
            text = re.sub(pattern, faster, text)
        (folder / file.name).write_text(text)
    with running(folder, CONFIG.name) as address:
        yield address


def test_the_dashboard_shows_something_in_every_panel(prometheus: str, server: TritonServer, astronaut: Path) -> None:
    left = expressions(json.loads(DASHBOARD.read_text()))

    def all_answered() -> bool:
        infer(server, astronaut.read_bytes())
        left[:] = [text for text in left if not has_numbers(ask(prometheus, "query", query=text)["result"])]
        return not left

    wait_until(all_answered, lambda: f"no answer to {left}")


def test_an_alert_fires_when_it_should_and_ends(prometheus: str, server: TritonServer, astronaut: Path) -> None:
    def fires_while_images_are_refused() -> bool:
        with suppress(InferenceServerException):
            infer(server, b"no image")
        return ALERT in firing(prometheus)

    def is_quiet_while_they_are_taken() -> bool:
        infer(server, astronaut.read_bytes())
        return ALERT not in firing(prometheus)

    wait_until(is_quiet_while_they_are_taken)
    wait_until(fires_while_images_are_refused)
    wait_until(is_quiet_while_they_are_taken)


def infer(server: TritonServer, image: bytes) -> None:
    tensor = triton.InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[image]], object))
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        client.infer("BlazeFace", [tensor])


def alerts() -> list[str]:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return [rule["alert"] for rule in rules if "alert" in rule]


def has_numbers(result: list[dict[str, Any]]) -> bool:
    return any(row["value"][1] != "NaN" for row in result)


def firing(address: str) -> set[str]:
    return {alert["labels"]["alertname"] for alert in ask(address, "alerts")["alerts"] if alert["state"] == "firing"}
