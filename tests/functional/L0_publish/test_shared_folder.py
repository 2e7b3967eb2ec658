"""Shipped detectors on a volume that is read only, published ones in a folder that two servers share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.exported import write_settings
from tests.functional.L0_publish.conftest import everything_in
from tests.launched import Launched, eventually, launched
from tests.shipped import copy_one_detector
from tritonface import create_model
from tritonface._cli import main
from tritonface_server.cli import main as server_main

pytestmark = pytest.mark.long
SHARED = "640x640_cubic_preprocess"


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """BlazeFace."""
    return copy_one_detector(tmp_path / "shipped")


@pytest.fixture
def two(shipped: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Launched]]:
    """One on this machine; one that whoever publishes cannot see, as if on another, and that may write to neither."""
    repository.mkdir()
    folders = [tmp_path / name for name in ("near", "far")]
    may_mount = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    read_only = " && ".join(
        f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}" for folder in (shipped, repository)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders[0] / "cache"))
    arguments = (f"--model-repository={repository}", "--watch")
    with ExitStack() as stack:
        servers = []
        for folder, before in zip(folders, ("true", read_only if may_mount else "true")):
            folder.mkdir()
            launcher = launched(folder, *arguments, repository=shipped, before=before)
            servers.append(stack.enter_context(launcher))
        yield servers


def publish(action: str, *arguments: Path | str, repositories: tuple[Path, ...]) -> int:
    options = [f"--model-repository={folder}" for folder in repositories]
    return server_main(["publish", action, *options, *map(str, arguments)])


def test_what_is_published_once_is_served_by_both(
    two: list[Launched], shipped: Path, repository: Path, folder: Path, solvay: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(folder, Preprocess=[{"type": "Resize", "target_size": [640, 640], "interp": 2, "keep_ratio": False}])
    before, both = everything_in(shipped), (shipped, repository)
    urls = [server.endpoints.grpc for server in two]
    assert publish("add", folder, "BlazeFace", repositories=both) == 1
    assert f"a model of another repository of the server, in {shipped}" in capsys.readouterr().err
    assert publish("add", folder, "mine", repositories=both) == 0
    assert SHARED not in capsys.readouterr().out and not (repository / SHARED).exists()
    assert main(["health", "--model", "mine", "--wait", "60", "--url", ",".join(urls)]) == 0
    found = []
    for url in urls:
        with create_model("mine", url=url) as model:
            [result] = model.predict(solvay)
        found.append(result["boxes"])
    assert found[0] == found[1] and {box["label"] for box in found[0]} == {"person"}
    assert publish("list", repositories=both) == 0 and capsys.readouterr().out.endswith("mine\n")

    assert publish("undo", "mine", repositories=both) == 0
    for server in two:
        server.wait_for("unloaded: mine")
        assert eventually(lambda: server.status("v2/health/ready") == 200), server.said  # noqa: B023
    assert everything_in(shipped) == before and everything_in(repository) == []


def test_a_repository_that_was_not_named(
    two: list[Launched], shipped: Path, repository: Path, folder: Path, solvay: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What decodes would come twice. On this machine that is noticed; a server elsewhere goes on with what it has."""
    write_settings(folder, Preprocess=[{"type": "Resize", "target_size": [640, 640], "interp": 2, "keep_ratio": False}])
    assert publish("add", folder, "mine", repositories=(repository,)) == 1
    options = f"--model-repository {shipped} --model-repository {repository}"
    assert f"name them as it does, this one last: {options}" in capsys.readouterr().err
    near, far = two
    near.__exit__()
    assert publish("add", folder, "mine", repositories=(repository,)) == 0
    far.wait_for(f"in more than one repository: {SHARED}; what needs them cannot be loaded")
    far.wait_for("cannot serve mine: ")
    with create_model("BlazeFace", url=far.endpoints.grpc) as model:
        assert next(model.predict(solvay))["boxes"]
