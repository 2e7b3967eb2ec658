"""What a server needs of shared memory and open files."""

from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.shipped import copy_one_detector
from tritonface_server import room
from tritonface_server.machine import LaunchError
from tritonface_server.room import check_shared_memory, count_processes, raise_open_files
from tritonface_server.served_models import all_models

LARGEST_MIB = 3 * 64


def test_an_empty_repository_has_no_processes(tmp_path: Path) -> None:
    assert count_processes(tmp_path, [], "cpu") == count_processes(tmp_path, ["none"], "cpu") == 0


@pytest.mark.parametrize(("config_name", "count"), [("cpu_1", 5), ("cpu", 7), ("cpu_4", 11), ("unknown", 7)])
def test_processes_of_one_detector(config_name: str, count: int, tmp_path: Path) -> None:
    copy_one_detector(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.pbtxt").write_text("name: {")
    assert count_processes(tmp_path, all_models(tmp_path), config_name) == count


def size_of(mib: float, monkeypatch: pytest.MonkeyPatch) -> None:
    status = SimpleNamespace(f_bavail=int(mib * 1024), f_frsize=1024)
    monkeypatch.setattr(room.os, "statvfs", lambda folder: status)


@pytest.mark.fault("C8")
def test_too_small_for_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    size_of(32, monkeypatch)
    with pytest.raises(LaunchError, match=r"has 32 MiB free, 14 processes .* need 42 MiB.*--shm-size=235m.*--cpus"):
        check_shared_memory(14)


@pytest.mark.fault("C8")
def test_too_small_for_the_largest_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    size_of(42, monkeypatch)
    assert check_shared_memory(14)  # enough for the start
    size_of(64, monkeypatch)
    warning = check_shared_memory(14)
    assert warning and "has 64 MiB free, the largest requests need 234 MiB" in warning and "--shm-size" in warning
    size_of(42 + LARGEST_MIB, monkeypatch)
    assert check_shared_memory(14) is None


def test_no_shared_memory(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"there is no .*missing"):
        check_shared_memory(1, tmp_path / "missing")


@pytest.mark.fault("C10")
@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((256, 256), None),
        ((64, 1000), (1000, 1000)),
        ((1024, 1_000_000), (4096, 1_000_000)),
        ((20_000, 20_000), None),
        ((64, resource.RLIM_INFINITY), (4096, resource.RLIM_INFINITY)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_open_files(limits: tuple[int, int], expected: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[int, int]] = []
    monkeypatch.setattr(room.resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(room.resource, "setrlimit", lambda kind, pair: became.append(pair))
    raise_open_files()
    assert became == ([expected] if expected else [])


@pytest.mark.fault("C10")
def test_too_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.resource, "getrlimit", lambda kind: (64, 64))
    with pytest.raises(LaunchError, match=r"only 64 open files .*needs 256"):
        raise_open_files()
