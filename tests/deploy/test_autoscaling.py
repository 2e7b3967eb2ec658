"""The autoscaler's metric: the adapter's query in promtool, and in a real Prometheus that scrapes a real server as in a
cluster; and what the autoscaler would do with it. The adapter and the autoscaler themselves are not run.
"""

from __future__ import annotations

import math
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Serve
from tests.deploy.kustomize import KUBERNETES, resources
from tests.prometheus import ask, program, running
from tests.scrape import wait_until
from tritonface import Connection, TritonFaceError, create_model
from tritonface_server.server import TritonServer

NAMESPACE, POD = "tritonface", "tritonface-0"
LABELS = f'namespace="{NAMESPACE}",pod=~"{POD}|tritonface-1"'
TOLERANCE = 0.1
"""Of the autoscaler: what is nearer to the target than that is taken for it."""
METRIC = "tritonface_queue_seconds"


def rule() -> dict[str, Any]:
    (found,) = yaml.safe_load((KUBERNETES / "monitoring" / "prometheus-adapter.yaml").read_text())["rules"]
    return found


def query(window: str = "1m") -> str:
    """As the adapter asks for the metric of two pods."""
    text = rule()["metricsQuery"].replace("<<.LabelMatchers>>", LABELS).replace("<<.GroupBy>>", "pod")
    assert "<<" not in text
    return text.replace("[1m]", f"[{window}]")


def autoscaler() -> dict[str, Any]:
    return resources("overlays/cpu")["HorizontalPodAutoscaler/tritonface"]["spec"]


def desired_replicas(replicas: int, mean: float) -> int:
    """As the Kubernetes documentation has it, for the mean of the metric over the pods."""
    spec = autoscaler()
    (metric,) = spec["metrics"]
    ratio = mean / (float(metric["pods"]["target"]["averageValue"].removesuffix("m")) / 1000)
    wanted = replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(replicas * ratio)
    return min(max(wanted, spec["minReplicas"]), spec["maxReplicas"])


def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    (metric,) = autoscaler()["metrics"]
    assert metric["type"] == "Pods" and metric["pods"]["metric"]["name"] == rule()["name"]["as"] == METRIC
    overrides = rule()["resources"]["overrides"]
    assert overrides == {label: {"resource": label} for label in ("namespace", "pod")}


@pytest.mark.parametrize(
    ("replicas", "mean_s", "desired"),
    [(2, 0.0, 2), (2, 0.05, 2), (2, 0.054, 2), (2, 0.1, 4), (4, 0.3, 8), (8, 0.025, 4), (3, 0.046, 3)],
)
def test_how_many_pods_that_makes(replicas: int, mean_s: float, desired: int) -> None:
    assert desired_replicas(replicas, mean_s) == desired


def test_the_query_in_promtool(tmp_path: Path) -> None:
    """A pod where 10 requests a second wait 0.15 s to be decoded, 0.1 s for room and 0.05 s for their network, an idle
    one, and series that are not meant: of another namespace, of another stage, of the ensemble."""
    ours, idle = (f'namespace="tritonface",pod="tritonface-{number}"' for number in range(2))
    steady = {
        f'nv_inference_queue_duration_us{{model="640x640_cubic_preprocess",{ours}}}': 10 * 0.15 * 1e6,
        f'nv_inference_queue_duration_us{{model="BlazeFace_detector",{ours}}}': 10 * 0.05 * 1e6,
        f'nv_inference_queue_duration_us{{model="BlazeFace",{ours}}}': 1e9,
        f'tritonface_stage_seconds_total{{stage="wait",{ours}}}': 10 * 0.1,
        f'tritonface_stage_seconds_total{{stage="decode",{ours}}}': 100,
        f'tritonface_stage_runs_total{{stage="wait",{ours}}}': 10,
        'tritonface_stage_runs_total{stage="wait",namespace="other",pod="tritonface-0"}': 1000,
        f'nv_inference_queue_duration_us{{model="640x640_cubic_preprocess",{idle}}}': 0,
        f'tritonface_stage_seconds_total{{stage="wait",{idle}}}': 0,
        f'tritonface_stage_runs_total{{stage="wait",{idle}}}': 0,
    }
    series = [{"series": name, "values": f"0+{each * 15:g}x40"} for name, each in steady.items()]
    expected = [
        {"labels": f'{METRIC}{{pod="tritonface-{number}"}}', "value": value} for number, value in ((0, 0.3), (1, 0))
    ]
    rules = {"groups": [{"name": "adapter", "rules": [{"record": METRIC, "expr": query()}]}]}
    check = {"expr": METRIC, "eval_time": "5m", "exp_samples": expected}
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [check]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def server(serve: Serve, one_detector: Path) -> TritonServer:
    return serve(one_detector)


@pytest.fixture(scope="module")
def prometheus(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that scrapes the server by scrape.yaml, in a hurry; what the cluster would tell of a pod with three ports, of
    which one is that of the metrics, and of a pod of somebody else, stands in static labels instead."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((KUBERNETES / "monitoring" / "scrape.yaml").read_text())
    (job,) = config["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    template = resources("overlays/cpu")["Deployment/tritonface"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    target = f"{server.endpoints.host}:{server.endpoints.metrics_port}"
    annotations = {meta(f"annotation_{name}"): value for name, value in template["metadata"]["annotations"].items()}
    labels = {meta(f"label_{name}"): value for name, value in template["metadata"]["labels"].items()}
    ours = {"__meta_kubernetes_namespace": NAMESPACE, meta("name"): POD, **annotations, **labels}
    stranger = ours | {meta("label_app.kubernetes.io/name"): "other"}
    job["static_configs"] = [
        {"targets": [target], "labels": each | {meta("container_port_number"): str(port["containerPort"])}}
        for port in container["ports"]
        for each in (ours, stranger)
    ]
    config["global"] = {"scrape_interval": "500ms"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    subprocess.run([program("promtool"), "check", "config", "prometheus.yml"], cwd=folder, check=True)
    with running(folder, "prometheus.yml") as address:
        yield address


def meta(name: str) -> str:
    """The label by which Prometheus tells this of a pod."""
    return "__meta_kubernetes_pod_" + re.sub(r"[^A-Za-z0-9]", "_", name)


def waits(prometheus: str) -> float | None:
    """The metric of the pod, mean of the last seconds; None before there is one."""
    found = ask(prometheus, "query", query=query("5s"))["result"]
    assert [row["metric"] for row in found] in ([], [{"pod": POD}])
    return float(found[0]["value"][1]) if found else None


@contextmanager
def callers(server: TritonServer, photo: Path, count: int) -> Iterator[None]:
    """So many that send one photo after the other, whether it is answered or turned away."""
    done = threading.Event()

    def call() -> None:
        with create_model("BlazeFace", connection=Connection(server.endpoints.grpc, retries=0)) as model:
            while not done.is_set():
                try:
                    list(model.predict(str(photo)))
                except TritonFaceError:
                    done.wait(0.01)

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_more_pods_when_requests_wait_and_fewer_when_not(
    prometheus: str, server: TritonServer, astronaut: Path
) -> None:
    wait_until(lambda: waits(prometheus) == 0, lambda: waits(prometheus))  # idle, and a number

    def wants(replicas: int) -> int:
        told = waits(prometheus)
        return replicas if told is None else desired_replicas(replicas, told)

    with callers(server, astronaut, 32):
        wait_until(lambda: wants(2) > 2, lambda: waits(prometheus), timeout_s=60)
    wait_until(lambda: wants(4) < 4, lambda: waits(prometheus), timeout_s=60)
    with callers(server, astronaut, 1):
        wait_until(lambda: (waits(prometheus) or 0) > 0, lambda: waits(prometheus), timeout_s=60)
        wait_until(lambda: wants(4) < 4, lambda: waits(prometheus), timeout_s=60)


def test_there_is_one_target_and_it_has_the_labels_of_its_pod(prometheus: str, server: TritonServer) -> None:
    targets = ask(prometheus, "targets", state="active")["activeTargets"]
    assert [each["labels"] for each in targets] == [
        {
            "instance": f"{server.endpoints.host}:{server.endpoints.metrics_port}",
            "job": "tritonface",
            "namespace": NAMESPACE,
            "pod": POD,
        }
    ]
