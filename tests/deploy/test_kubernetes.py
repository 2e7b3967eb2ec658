"""deploy/kubernetes, rendered by kustomize: the schemas of Kubernetes and KServe, checkov, and what the parts promise
each other and the server. No cluster is here; what can be run of it without one is run.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kustomize import KUBERNETES, OVERLAYS, Resource, render, resources
from training.paths import MODEL_REPOSITORY, ROOT
from tritonface_server.cli import make_parser
from tritonface_server.configs import cpu_config_name
from tritonface_server.endpoints import Endpoints
from tritonface_server.limits import MAX_REQUEST_BYTES
from tritonface_server.room import PROCESS_BYTES, REQUEST_COPIES, count_processes
from tritonface_server.served_models import all_models
from tritonface_server.server import DRAIN_TIMEOUT_S, EXIT_TIMEOUT_S

VALIDATORS = ROOT / "build" / "kubernetes" / "bin"
OLDEST, NEWEST = "1.31", "1.37"
"""Versions of Kubernetes whose schemas are asked."""
UNITS = {"m": 1e-3, "": 1, "Mi": 2**20, "Gi": 2**30}
LABEL = {"app.kubernetes.io/name": "tritonface"}
PORTS = Endpoints().ports


def quantity(text: str | int) -> float:
    """Of Kubernetes, "512Mi" for instance."""
    number = str(text).rstrip("miGM")
    return float(number) * UNITS[str(text)[len(number) :]]


def validator(name: str, *arguments: str | Path, given: str | None = None) -> str:
    """What a program of build/kubernetes prints, which must be content."""
    if not VALIDATORS.is_dir():
        pytest.fail("the validators are not installed: make build/kubernetes/.ready, which `make test-deploy` does")
    command = [str(VALIDATORS / name), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pod_of(resource: Resource) -> dict[str, Any]:
    return resource["spec"]["template"]["spec"]


def server_of(overlay: str) -> dict[str, Any]:
    (container,) = pod_of(resources(f"overlays/{overlay}")["Deployment/tritonface"])["containers"]
    return container


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_schemas_take_it(overlay: str, version: str, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(render(f"overlays/{overlay}"))
    told = validator("kubernetes-validate", "--strict", "-k", version, file)
    assert told.count("passed for resource") == len(resources(f"overlays/{overlay}"))


def test_the_schemas_refuse_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(render("overlays/cpu").replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
    with pytest.raises(AssertionError, match="readOnlyRootFileSystem"):
        validator("kubernetes-validate", "--strict", file)


def test_checkov_finds_nothing(tmp_path: Path) -> None:
    for name in OVERLAYS:
        (tmp_path / f"{name}.yaml").write_text(render(f"overlays/{name}"))
    options = ("--config-file", KUBERNETES / "checkov.yaml", "--output", "json")
    summary = json.loads(validator("checkov", "--directory", tmp_path, *options))["summary"]
    assert summary["failed"] == 0 and summary["parsing_errors"] == 0 and summary["passed"] > 200


def test_the_models_of_kserve_take_it() -> None:
    found = resources("kserve")
    assert [*found] == ["ServingRuntime/tritonface", "InferenceService/tritonface"]
    script = ROOT / "tests" / "deploy" / "kserve_models.py"
    assert validator("python", script, given=json.dumps([*found.values()])) == ""
    runtime, service = found.values()
    spoilt = [runtime, service | {"spec": {"predictor": {"model": {"runtime": "tritonface"}, "replicas": 2}}}]
    told = validator("python", script, given=json.dumps(spoilt))
    assert "replicas: unknown" in told and "model_format" in told


def test_a_service_of_kserve_finds_its_runtime() -> None:
    found = resources("kserve")
    runtime, model = (
        found["ServingRuntime/tritonface"],
        found["InferenceService/tritonface"]["spec"]["predictor"]["model"],
    )
    known = {(each["name"], each["version"]) for each in runtime["spec"]["supportedModelFormats"]}
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in known
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert model["runtime"] == runtime["metadata"]["name"]


def test_the_runtime_of_kserve_is_the_same_server(tmp_path: Path) -> None:
    """As a pod for the schemas; and what its container has must be what the deployment's has."""
    spec = resources("kserve")["ServingRuntime/tritonface"]["spec"]
    pod = {"containers": spec["containers"], "volumes": spec["volumes"]}
    file = tmp_path / "pod.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runtime"}, "spec": pod}))
    validator("kubernetes-validate", "--strict", file)
    (theirs,), ours = spec["containers"], server_of("cpu")
    assert theirs["image"] == ours["image"] and theirs["resources"] == ours["resources"]
    assert theirs["lifecycle"] == ours["lifecycle"]
    assert ours["securityContext"].items() <= theirs["securityContext"].items()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        by_number = ours[probe] | {"httpGet": ours[probe]["httpGet"] | {"port": PORTS["http"]}}
        assert theirs[probe] == by_number
    options = make_parser().parse_args(["serve", "--host", "0.0.0.0", *theirs["args"]])
    assert [*map(str, options.model_repository)] == ["/mnt/models"]  # where KServe puts the models


def test_one_place_names_the_images() -> None:
    places = [file for file in KUBERNETES.rglob("*.yaml") if "registry.example" in file.read_text()]
    assert places == [KUBERNETES / "components" / "image" / "kustomization.yaml"]
    for name in OVERLAYS:
        pod = pod_of(resources(f"overlays/{name}")["Deployment/tritonface"])
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["image"].startswith("registry.example/") and ":" in container["image"]


def test_the_pod_is_closed(overlay: str) -> None:
    """By the standard "restricted", which its namespace enforces, and a root that nothing writes to."""
    found = resources(f"overlays/{overlay}")
    assert found["Namespace/tritonface"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = pod_of(found["Deployment/tritonface"])
    context = pod["securityContext"]
    assert context["runAsNonRoot"] and context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 1000
    assert context["seccompProfile"] == {"type": "RuntimeDefault"} and not pod["automountServiceAccountToken"]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
    assert kinds <= {"emptyDir", "secret", "persistentVolumeClaim"}


def test_shared_memory_is_as_large_as_the_launcher_asks_for(overlay: str) -> None:
    container = server_of(overlay)
    volumes = {
        volume["name"]: volume
        for volume in pod_of(resources(f"overlays/{overlay}")["Deployment/tritonface"])["volumes"]
    }
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    shm = mounts["/dev/shm"]["emptyDir"]
    kind = "gpu" if overlay == "gpu" else cpu_config_name(int(container["resources"]["limits"]["cpu"]))
    processes = count_processes(MODEL_REPOSITORY, all_models(MODEL_REPOSITORY), kind)
    wanted = processes * PROCESS_BYTES + REQUEST_COPIES * MAX_REQUEST_BYTES
    assert shm["medium"] == "Memory" and wanted <= quantity(shm["sizeLimit"])
    assert quantity(shm["sizeLimit"]) < quantity(container["resources"]["limits"]["memory"]) / 2
    assert "emptyDir" in mounts["/tmp"]


@pytest.mark.parametrize("name", ["cpu", "published"])
def test_the_command_takes_its_arguments(name: str) -> None:
    """Those of the image come before them."""
    options = make_parser().parse_args(["serve", "--host", "0.0.0.0", *server_of(name)["args"]])
    assert options.insecure and options.watch is (name == "published")
    ports = {port["name"]: port["containerPort"] for port in server_of(name)["ports"]}
    assert ports == {"http": options.http_port, "grpc": options.grpc_port, "metrics": options.metrics_port}


def test_gpus_are_asked_for_and_used() -> None:
    container = server_of("gpu")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1" and "nvidia" in container["image"]
    # serve-nvidia, the image's entry point, takes gpu_tensorrt where it finds a GPU.
    assert container["args"] == ["--insecure"] and "TRITONFACE_CONFIG" not in {
        each["name"] for each in container["env"]
    }


def test_a_pod_has_time_to_finish(overlay: str) -> None:
    pod, container = pod_of(resources(f"overlays/{overlay}")["Deployment/tritonface"]), server_of(overlay)
    program, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert pod["terminationGracePeriodSeconds"] > float(pause_s) + DRAIN_TIMEOUT_S + EXIT_TIMEOUT_S + 1
    probes = {name: container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {name: probe["path"].rpartition("/")[2] for name, probe in probes.items()} == {
        "startupProbe": "ready",
        "readinessProbe": "ready",
        "livenessProbe": "live",
    }
    seconds = {name: container[name]["periodSeconds"] * container[name]["failureThreshold"] for name in probes}
    assert seconds["livenessProbe"] > 4 + 15, "the launcher waits 4 s before it starts Triton anew, which takes some"


def test_what_names_the_pods_finds_them(overlay: str) -> None:
    found = resources(f"overlays/{overlay}")
    template = found["Deployment/tritonface"]["spec"]["template"]
    selectors = [
        found["Deployment/tritonface"]["spec"]["selector"]["matchLabels"],
        found["Service/tritonface"]["spec"]["selector"],
        found["Service/tritonface-pods"]["spec"]["selector"],
        found["PodDisruptionBudget/tritonface"]["spec"]["selector"]["matchLabels"],
        found["NetworkPolicy/tritonface"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [LABEL] * len(selectors) and LABEL.items() <= template["metadata"]["labels"].items()
    target = found["HorizontalPodAutoscaler/tritonface"]["spec"]["scaleTargetRef"]
    assert f"{target['kind']}/{target['name']}" in found
    assert "replicas" not in found["Deployment/tritonface"]["spec"], "applying it anew would undo the autoscaler"
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(PORTS["metrics"])
    (secret,) = (
        each["secret"]["secretName"] for each in pod_of({"spec": {"template": template}})["volumes"] if "secret" in each
    )
    assert f"secret generic {secret} " in (ROOT / "docs" / "kubernetes.md").read_text()


def test_every_address_of_a_name_is_a_pod() -> None:
    """What the SDK needs to spread requests; an ordinary service has one address, and a connection stays at one pod."""
    found = resources("overlays/cpu")
    assert found["Service/tritonface-pods"]["spec"]["clusterIP"] == "None"
    assert "clusterIP" not in found["Service/tritonface"]["spec"]
    for service in ("tritonface", "tritonface-pods"):
        ports = {port["targetPort"]: port["port"] for port in found[f"Service/{service}"]["spec"]["ports"]}
        assert ports == {name: PORTS[name] for name in ("http", "grpc")}, "metrics are for Prometheus alone"


def test_only_clients_and_prometheus_reach_the_server() -> None:
    policy = resources("overlays/cpu")["NetworkPolicy/tritonface"]["spec"]
    clients, prometheus = policy["ingress"]
    assert clients["from"] == [{"podSelector": {"matchLabels": {"tritonface/client": "true"}}}]
    assert [port["port"] for port in clients["ports"]] == ["http", "grpc"]
    assert [port["port"] for port in prometheus["ports"]] == ["metrics"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []


def test_servers_read_what_the_publisher_writes() -> None:
    """As in tests/functional/L0_publish/test_shared_folder.py, with real servers."""
    found = resources("overlays/published")
    server, publisher = server_of("published"), pod_of(found["Deployment/publisher"])["containers"][0]
    options = make_parser().parse_args(["serve", "--host", "0.0.0.0", *server["args"]])
    image, volume = (str(each) for each in options.model_repository)
    assert image == "/srv/tritonface/model_repository"
    (mount,) = (each for each in server["volumeMounts"] if volume.startswith(each["mountPath"] + "/"))
    assert mount["readOnly"] and Path(volume).parent == Path(mount["mountPath"]), "publishing needs a place beside it"
    assert {key: mount[key] for key in ("name", "mountPath")} in publisher["volumeMounts"]
    (init,) = pod_of(found["Deployment/tritonface"])["initContainers"]
    assert init["command"] == ["mkdir", "-p", volume] and publisher["image"] == server["image"]
    claim = found["PersistentVolumeClaim/tritonface-models"]["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]
    assert found["Deployment/publisher"]["spec"]["template"]["metadata"]["labels"].items().isdisjoint(LABEL.items())


def test_nothing_renders_that_no_kustomization_names() -> None:
    named = {KUBERNETES / "checkov.yaml", *(KUBERNETES / "monitoring").iterdir()}
    for file in KUBERNETES.rglob("kustomization.yaml"):
        content = yaml.safe_load(file.read_text())
        lists = (*content.get("resources", ()), *(patch["path"] for patch in content.get("patches", ())))
        named |= {file, *((file.parent / each).resolve() for each in lists)}
    assert {file for file in KUBERNETES.rglob("*") if file.is_file()} <= named
