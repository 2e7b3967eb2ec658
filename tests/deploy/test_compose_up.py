"""compose.yaml itself, started by podman-compose: its networks, names, rights, secrets and health checks.

Images from Debian's packages stand in for those of registries; Grafana has no such package and is left out.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.certificates import write_certificates
from tests.deploy.composition import DEPLOY, SERVICES
from tests.deploy.containers import BINARIES, build_parts, command
from tests.scrape import wait_until
from tritonface import TLS, Connection, ServerError, create_model
from tritonface_server.endpoints import Endpoints

STARTS = {
    "gateway": ["parts-start"],
    "prometheus": ["prometheus"],
    "alertmanager": ["prometheus-alertmanager"],
}
"""Entry points of the images that stand in."""
RUNNING = ("server", *STARTS)
DETECTOR = "PP-YOLOE_plus-S_face"


@dataclass(frozen=True)
class Project:
    """What podman-compose has started, and the way in."""

    name: str
    address: str
    folder: Path
    token: str

    def connection(self, protocol: str) -> Connection:
        headers = {"authorization": f"Bearer {self.token}"}
        return Connection(self.address, protocol, tls=TLS(self.folder / "ca.pem"), headers=headers, timeout_s=60)

    def exec(self, service: str, *arguments: str, check: bool = True) -> str:
        done = command("podman", "exec", f"{self.name}_{service}_1", *arguments, check=check)
        return done.stdout + done.stderr

    def log(self, service: str) -> str:
        done = command("podman", "logs", f"{self.name}_{service}_1", check=False)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    port = Endpoints.free().grpc_port
    started = Project(f"tritonface-test-{port}", f"127.0.0.1:{port}", folder, secrets.token_hex(32))
    write_secrets(started)
    override = folder / "override.yaml"
    override.write_text(yaml.safe_dump(overridden(build_parts(), folder)).replace("'[]'", "!reset []"))
    files = [f"--file={DEPLOY / 'compose.yaml'}", f"--file={override}"]
    program = [str(BINARIES / "podman-compose"), f"--project-name={started.name}", *files]
    variables = {"TRITONFACE_IMAGE": image, "TRITONFACE_PORT": f"127.0.0.1:{port}", "TRITONFACE_CPUS": "1"}

    def compose(*arguments: str, check: bool = True) -> None:
        command(*program, *arguments, check=check, variables=variables)

    try:
        # Without systemd podman runs no health check by itself, so nobody can wait for one.
        compose("up", "--detach", "--no-build", "--no-deps", "server")
        wait_until(lambda: "ready: gRPC" in started.log("server"), lambda: started.log("server"), 180)
        compose("up", "--detach", "--no-build", "--no-deps", *STARTS)
        yield started
    finally:
        compose("down", "--volumes", check=False)


def write_secrets(project: Project) -> None:
    """The files that docs/deployment-image.md says."""
    write_certificates(project.folder, "server")
    (project.folder / "tokens").write_text(f'"Bearer {project.token}" alice;\n')
    (project.folder / "alerts_url").write_text("http://127.0.0.1:9/hook")
    (project.folder / "grafana_password").write_text("not used")
    for file in project.folder.iterdir():
        file.chmod(0o444)
    project.folder.chmod(0o755)


def overridden(parts: str, folder: Path) -> dict[str, object]:
    """What differs from compose.yaml: images and how they start, the folder of secrets, ports that may be in use."""
    names = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    services = {name: {"image": parts, "entrypoint": start} for name, start in STARTS.items()}
    for name in ("prometheus", "alertmanager"):
        services[name]["ports"] = "[]"
    return {"services": services, "secrets": {name: {"file": str(folder / name)} for name in names}}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_detections_with_a_token_and_none_without(project: Project, solvay: Path, protocol: str) -> None:
    wait_until(
        lambda: "401" in health(project, "gateway"), lambda: health(project, "gateway") + project.log("gateway"), 60
    )
    with create_model(DETECTOR, connection=project.connection(protocol)) as model:
        assert [len(result) for result in model.predict(str(solvay))] == [29]
    stranger = Connection(project.address, protocol, tls=TLS(project.folder / "ca.pem"))
    with pytest.raises(ServerError, match="no known token"):
        create_model(DETECTOR, connection=stranger)


def test_prometheus_scrapes_the_server_and_knows_alertmanager(project: Project) -> None:
    def asked(what: str) -> dict[str, object]:
        url = f"http://127.0.0.1:9090/api/v1/{what}"
        text = project.exec("prometheus", "curl", "--silent", url, check=False)
        return json.loads(text)["data"] if text.startswith("{") else {}

    def is_scraped() -> bool:
        targets = asked("targets").get("activeTargets", [])
        return [(it["scrapeUrl"], it["health"]) for it in targets] == [("http://server:8002/metrics", "up")]

    wait_until(is_scraped, lambda: asked("targets"), 90)
    [alertmanager] = asked("alertmanagers")["activeAlertmanagers"]
    assert alertmanager["url"] == "http://alertmanager:9093/api/v2/alerts"


def test_every_health_check_passes(project: Project) -> None:
    for service in RUNNING:
        name = f"{project.name}_{service}_1"
        wait_until(
            lambda: command("podman", "healthcheck", "run", name, check=False).returncode == 0,  # noqa: B023 - at once
            lambda: project.log(service),  # noqa: B023
            90,
        )


@pytest.mark.parametrize("service", RUNNING)
def test_nobody_has_rights(project: Project, service: str) -> None:
    status = project.exec(service, "cat", "/proc/1/status")
    uid = SERVICES[service]["user"].partition(":")[0]
    assert f"Uid:\t{uid}\t" in status and "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    assert "Read-only file system" in project.exec(service, "sh", "-c", "echo > /usr/written", check=False)


def test_the_server_has_no_way_out_and_the_others_know_it_by_name(project: Project) -> None:
    ask = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    assert "Network is unreachable" in project.exec("server", "python3", "-c", ask, check=False)
    assert project.exec("gateway", "curl", "--silent", "--fail", "http://server:8000/v2/health/ready") == ""
    ports = json.loads(command("podman", "inspect", f"{project.name}_server_1").stdout)[0]["HostConfig"]["PortBindings"]
    assert not any(ports.values())


def health(project: Project, service: str) -> str:
    """The status that a stranger gets, asked inside."""
    options = ["--insecure", "--silent", "--write-out", "%{http_code}", "--output", "/dev/null"]
    return project.exec(service, "curl", *options, "https://127.0.0.1:8443/", check=False)
