"""What is wrong with the files of deploy/ before anything runs: linters, schemas, and the rules of compose.yaml."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.composition import COMPOSE, DEPLOY, SERVICES, mounted
from tests.deploy.containers import BINARIES, command
from training.paths import ROOT


def test_hadolint_has_no_complaint() -> None:
    command(str(BINARIES / "hadolint"), str(DEPLOY / "Dockerfile"))


def test_the_image_of_nvidia_is_pinned_in_one_place_and_recent() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.is_file()] + [ROOT / "Makefile"]
    found = [tag for path in files for tag in re.findall(r"nvidia/tritonserver:([\w.-]+)", path.read_text())]
    assert len(found) == 1 and found[0].endswith("-py3")
    assert tuple(map(int, found[0].removesuffix("-py3").split("."))) >= (25, 7)


def test_the_schema_of_compose() -> None:
    check = str(BINARIES / "check-jsonschema")
    command(check, "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml"))
    assert set(SERVICES) == {"server", "gateway", "prometheus", "alertmanager", "grafana"}


def test_the_schema_is_not_content_with_anything(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text().replace("read_only: true", "read_only_root: true"))
    check = str(BINARIES / "check-jsonschema")
    assert command(check, "--builtin-schema", "vendor.compose-spec", str(wrong), check=False).returncode == 1


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_few_rights_and_bounds(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0")
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == "unless-stopped"
    assert name == "server" or "healthcheck" in service  # the server's is the image's
    assert name == "server" or re.search(r":v?\d+\.\d+", service["image"]), "a version is pinned"


def test_the_gateway_alone_is_published_beyond_this_machine() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert name == "gateway" or port.startswith("127.0.0.1:"), (name, port)
    assert "ports" not in SERVICES["server"] and SERVICES["server"]["networks"] == ["serving"]
    assert COMPOSE["networks"]["serving"] == {"internal": True}


def test_whoever_is_waited_for_can_be_asked_whether_it_is_healthy() -> None:
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert name == "server" or "healthcheck" in SERVICES[name]


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        assert all(path.is_file() for path in mounted(service)), mounted(service)


def test_secrets_are_files_that_git_does_not_know_and_the_page_explains() -> None:
    page = (ROOT / "docs" / "deployment-image.md").read_text()
    used = [secret for service in SERVICES.values() for secret in service.get("secrets", [])]
    assert sorted(used) == sorted(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert f"secrets/{name}" in page, name
        command("git", "-C", str(ROOT), "check-ignore", f"deploy/secrets/{name}")


def test_the_gateway_is_given_all_that_its_configuration_asks_for() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)\}", (DEPLOY / "gateway" / "nginx.conf").read_text()))
    environment = SERVICES["gateway"]["environment"]
    matching = {name for name in environment if re.search(environment["NGINX_ENVSUBST_FILTER"], name)}
    assert asked == matching


def test_promtool_and_amtool_take_the_files(tmp_path: Path) -> None:
    for path, target in mounted(SERVICES["prometheus"]).items():
        (tmp_path / Path(target).name).write_text(path.read_text())
    command("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    command("amtool", "check-config", str(DEPLOY / "compose" / "alertmanager.yml"))


@pytest.mark.parametrize("mistake", [None, ("legend", "leg_end"), ("expr", "expression"), ("gridPos", "grid")])
def test_grafana_knows_every_field_of_the_dashboard(mistake: tuple[str, str] | None) -> None:
    """Its own library, of the version that compose.yaml pins, reads the file and writes it again with nothing lost."""
    dashboards = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason="needs Python 3.11")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    pytest.importorskip("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    _, _, pinned = SERVICES["grafana"]["image"].rpartition(":")
    assert importlib.metadata.version("grafana-foundation-sdk").endswith(f"!{pinned}")
    text = (DEPLOY / "monitoring" / "dashboard.json").read_text()
    ours = json.loads(text.replace(*(f'"{name}"' for name in mistake)) if mistake else text)
    theirs = json.loads(encoder.JSONEncoder().encode(dashboards.Dashboard.from_json(ours)))
    assert is_within(ours, theirs) is (mistake is None)


def is_within(part: Any, whole: Any) -> bool:
    """Whether all of a JSON value is in another one, which may have more fields."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and is_within(value, whole[name]) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return bool(part == whole)


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    """Grafana itself is not to be had here; this is what its documentation asks of the files."""
    where = {target: path for path, target in mounted(SERVICES["grafana"]).items()}
    provisioning = "/etc/grafana/provisioning"
    [source] = yaml.safe_load(where[f"{provisioning}/datasources/tritonface.yml"].read_text())["datasources"]
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert SERVICES[host]["ports"] == [f"127.0.0.1:{port}:{port}"] and source["type"] == "prometheus"
    assert set(SERVICES[host]["networks"]) & set(SERVICES["grafana"]["networks"])
    [provider] = yaml.safe_load(where[f"{provisioning}/dashboards/tritonface.yml"].read_text())["providers"]
    [shown] = [path for target, path in where.items() if target.startswith(provider["options"]["path"] + "/")]
    dashboard = json.loads(shown.read_text())
    assert dashboard["uid"] and dashboard["panels"]
    assert {panel["datasource"]["type"] for panel in dashboard["panels"]} == {source["type"]}
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert where[home] == shown


def test_the_context_of_the_build_is_what_the_dockerfile_takes() -> None:
    taken = re.findall(r"^COPY (?:--chown=\S+ |--chmod=\S+ )?(\S+) ", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    missing = [path for path in taken if not path.startswith("--") and not any(Path(path).match(it) for it in let_in)]
    assert missing == [] and all((ROOT / path).exists() for path in taken if not path.startswith("--"))
