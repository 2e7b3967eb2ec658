"""Exchanges are cut at every one of their renames, by an error and by SIGKILL; nothing may be lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonface_server.exchange import beside, exchange, exclusively, is_unfinished, recover

MODELS = ["step", "network", "ensemble"]
CASES = {  # what is in the repository before and what comes
    "the first publication": ([], MODELS),
    "a later one": (MODELS, MODELS),
    "one with fewer models": (MODELS, MODELS[1:]),
    "taking it back": (MODELS, []),
}


def put(folder: Path, models: list[str], content: str) -> None:
    for model in models:
        (folder / model).mkdir(parents=True)
        (folder / model / "config.pbtxt").write_text(content)


def contents(folder: Path) -> dict[str, str]:
    return {file.parent.name: file.read_text() for file in folder.glob("*/config.pbtxt")}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    put(folder, ["other"], "other")
    return folder


def fail_at(number: int, fail: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the rename of a model with this number, counted from 0, fail."""
    rename, done = Path.rename, []

    def counted(self: Path, target: Path) -> Path:
        if len(done) == number:
            fail()
        done.append(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", counted)


def test_nothing_to_move(repository: Path, tmp_path: Path) -> None:
    with exclusively(repository) as staging:
        exchange(MODELS, repository, source=staging, target=tmp_path / "earlier")
    assert contents(repository) == {"other": "other"}


@pytest.mark.parametrize(("before", "coming"), CASES.values(), ids=CASES)
def test_a_whole_exchange(repository: Path, tmp_path: Path, before: list[str], coming: list[str]) -> None:
    put(repository, before, "old")
    with exclusively(repository) as staging:
        put(staging, coming, "new")
        exchange(MODELS, repository, source=staging, target=tmp_path / "earlier")
        assert contents(staging) == {}
    assert contents(repository) == {"other": "other", **dict.fromkeys(coming, "new")}
    assert contents(tmp_path / "earlier") == dict.fromkeys(before, "old")
    assert [path.name for path in beside(repository).iterdir()] == ["lock"]


@pytest.mark.fault("B8")
def test_a_trouble_that_stays_is_mended_when_it_is_gone(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("input/output error")

    put(repository, MODELS, "old")
    with exclusively(repository) as staging:
        put(staging, MODELS, "new")
        fail_at(4, fail, monkeypatch)
        with pytest.raises(OSError, match="input/output"):
            exchange(MODELS, repository, source=staging, target=tmp_path / "earlier")
        assert is_unfinished(repository)
        monkeypatch.undo()
        recover(repository)
        assert not is_unfinished(repository)
    assert contents(repository) == {"other": "other", **dict.fromkeys(MODELS, "old")}


KILLED = """
import os, signal, sys
from pathlib import Path
from tritonface_server.exchange import exchange, exclusively

number, repository, models = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
rename, unlink, left = Path.rename, Path.unlink, list(range(number))

def counted(self, target):
    left.pop() if left else os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.rename = counted
Path.unlink = lambda self, **options: os.kill(os.getpid(), signal.SIGKILL)  # the journal, after the last move
with exclusively(repository):
    exchange(models, repository, source=repository.parent / "incoming", target=repository.parent / "earlier")
"""


def killed_at(number: int, repository: Path) -> int:
    """The exit code of a process that exchanges models until the move with this number, counted from 0."""
    return subprocess.run([sys.executable, "-c", KILLED, str(number), repository, *MODELS]).returncode


CUTS = [
    pytest.param(*case, number, id=f"{name}, rename {number}")
    for name, case in CASES.items()
    for number in range(sum(map(len, case)))
]


@pytest.mark.fault("B8")
@pytest.mark.parametrize(("before", "coming", "number"), CUTS)
def test_a_move_that_fails_changes_nothing(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: list[str],
    coming: list[str],
    number: int,
) -> None:
    def fail() -> None:
        monkeypatch.undo()  # a passing trouble: moving back works
        raise OSError("no space left on device")

    put(repository, before, "old")
    with exclusively(repository) as staging:
        put(staging, coming, "new")
        fail_at(number, fail, monkeypatch)
        with pytest.raises(OSError, match="no space"):
            exchange(MODELS, repository, source=staging, target=tmp_path / "earlier")
        assert contents(staging) == dict.fromkeys(coming, "new")
    assert contents(repository) == {"other": "other", **dict.fromkeys(before, "old")}


@pytest.mark.fault("B8")
@pytest.mark.parametrize(("before", "coming", "number"), CUTS)
def test_the_next_one_puts_back_what_was_killed(
    repository: Path, tmp_path: Path, before: list[str], coming: list[str], number: int
) -> None:
    put(repository, before, "old")
    put(tmp_path / "incoming", coming, "new")
    assert killed_at(number, repository) == -signal.SIGKILL
    with exclusively(repository):
        assert contents(repository) == {"other": "other", **dict.fromkeys(before, "old")}
        assert contents(tmp_path / "incoming") == dict.fromkeys(coming, "new")
        assert contents(tmp_path / "earlier") == {}


@pytest.mark.fault("B8")
def test_one_that_was_killed_after_its_last_move_stands(repository: Path, tmp_path: Path) -> None:
    put(repository, MODELS, "old")
    put(tmp_path / "incoming", MODELS, "new")
    assert killed_at(2 * len(MODELS), repository) == -signal.SIGKILL
    with exclusively(repository):
        assert contents(repository) == {"other": "other", **dict.fromkeys(MODELS, "new")}
        assert contents(tmp_path / "earlier") == dict.fromkeys(MODELS, "old")


@pytest.mark.fault("B8")
def test_two_at_once_take_turns(repository: Path) -> None:
    inside, most = [], []

    def work() -> None:
        with exclusively(repository) as staging:
            inside.append(staging)
            most.append(len(inside))
            put(staging, MODELS, "new")
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
