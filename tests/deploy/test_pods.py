"""The containers of deploy/kubernetes on the real image, by podman with the options that their YAML means: no cluster,
but the server's arguments, rights, volumes, secret, probes' paths and end are those of a pod.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.containers import RUN, Container, command, running
from tests.deploy.kustomize import resources
from tests.exported import make_export
from tests.scrape import wait_until
from tritonface import Connection, create_model
from tritonface_server.access import HEADER

KEY = "a-key-of-this-test-alone"


def pod(deployment: str) -> dict[str, Any]:
    return resources("overlays/published")[f"Deployment/{deployment}"]["spec"]["template"]["spec"]


def options(spec: dict[str, Any], container: dict[str, Any], volumes: dict[str, Path]) -> tuple[str, ...]:
    """Of `podman run`, for a container of a pod; `running` adds the rest: a read-only root, no capability, /tmp.

    Args:
        volumes: where secrets and claims lie on this machine, by the volume's name.
    """
    context = container["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user = f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    found = [f"--user={user}", *(f"--env={each['name']}={each['value']}" for each in container.get("env", ()))]
    if "command" in container:
        found.append(f"--entrypoint={json.dumps(container['command'])}")
    of_pod = {each["name"]: each for each in spec["volumes"]}
    for mount in container["volumeMounts"]:
        where, memory = mount["mountPath"], of_pod[mount["name"]].get("emptyDir", {})
        if where == "/dev/shm":
            found.append(f"--shm-size={memory['sizeLimit'].removesuffix('i').lower()}")
        elif mount["name"] in volumes:
            found.append(f"--volume={volumes[mount['name']]}:{where}:{'ro' if mount.get('readOnly') else 'rw'}")
        else:
            assert where == "/tmp" and "sizeLimit" in memory
    return tuple(found)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A secret as kubelet mounts it, and an empty volume for models, both of the group that the pod has."""
    key, models = tmp_path_factory.mktemp("key"), tmp_path_factory.mktemp("models")
    (key / "key").write_text(KEY)
    os.chown(key / "key", 0, 1000)
    (key / "key").chmod(0o440)
    for folder, mode in ((key, 0o755), (models, 0o2775)):
        os.chown(folder, 0, 1000)
        folder.chmod(mode)
    return {"key": key, "models": models}


@contextmanager
def server(image: str, volumes: dict[str, Path]) -> Iterator[Container]:
    """The pod of the server: what initialises it, and then its container, which is ready."""
    spec = pod("tritonface")
    (init,), (container,) = spec["initContainers"], spec["containers"]
    hardened = ("--rm", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
    command(*RUN, *hardened, *options(spec, init, volumes), image)
    with running(image, *container["args"], options=options(spec, container, volumes)) as started:
        yield started


def status(container: Container, path: str) -> int:
    with urllib.request.urlopen(f"http://{container.endpoints.http}{path}", timeout=10) as answer:
        return answer.status


@pytest.fixture(scope="module")
def servers(image: str, volumes: dict[str, Path]) -> Iterator[list[Container]]:
    """Two pods with one volume."""
    with ExitStack() as stack:
        yield [stack.enter_context(server(image, volumes)) for _ in range(2)]


def test_a_pod_is_ready_and_has_all_that_it_asks_for(servers: list[Container]) -> None:
    (container,) = pod("tritonface")["containers"]
    for each in servers:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert status(each, container[probe]["httpGet"]["path"]) == 200
        assert "warning" not in each.log().lower() and "largest requests" not in each.log(), each.log()
        each.exec(*container["lifecycle"]["preStop"]["exec"]["command"][:1], "0")


def test_the_secret_is_the_key(servers: list[Container]) -> None:
    first = servers[0]
    loads = urllib.request.Request(f"http://{first.endpoints.http}/v2/repository/index", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(loads, timeout=10)
    loads.add_header(HEADER, KEY)
    with urllib.request.urlopen(loads, timeout=10) as answer:
        assert answer.status == 200


def test_what_the_publisher_publishes_every_pod_serves(
    servers: list[Container], image: str, volumes: dict[str, Path], tmp_path: Path, astronaut: Path
) -> None:
    spec = pod("publisher")
    (container,) = spec["containers"]
    exported = make_export(tmp_path / "exported")
    mounted = (*options(spec, container, volumes), f"--volume={exported}:/tmp/mine:ro")
    repositories = [
        each for each in pod("tritonface")["containers"][0]["args"] if each.startswith("--model-repository")
    ]
    with running(image, options=mounted, ready="") as publisher:
        said = publisher.exec("tritonface-server", "publish", "add", "/tmp/mine", "mine", *repositories).stdout
    assert "mine" in said.split()
    for each in servers:
        wait_until(lambda: "loaded: " in each.log() and "mine" in each.log(), each.log, 60)  # noqa: B023
        with create_model("mine", connection=Connection(each.endpoints.grpc)) as model:
            assert [len(result) for result in model.predict(str(astronaut))] == [1]


def test_a_pod_ends_in_time(servers: list[Container]) -> None:
    assert servers[0].stop() == 0
