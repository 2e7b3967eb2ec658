"""An exported folder, and repositories into which it is, or was, published."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.exported import make_export, write_accuracy
from tests.once import once_per_run
from tritonface_server.exchange import beside
from tritonface_server.publish import publish

ACCURACY = {"before": {"epoch": 0, "AP": 0.5}, "after": {"epoch": 2, "AP": 0.25}, "better": False}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_export(tmp_path / "exported")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture(scope="session")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository in which `mine` was published, and with what lies beside it."""

    def publish_mine(folder: Path) -> None:
        exported = make_export(folder / "exported")
        write_accuracy(exported, **ACCURACY)
        publish(exported, "mine", folder / "repository")

    return once_per_run(tmp_path_factory, "published", publish_mine)


@pytest.fixture
def mine(published_once: Path, repository: Path) -> Path:
    """A repository like that, to be changed."""
    for source in (published_once / "repository", beside(published_once / "repository")):
        shutil.copytree(source, repository.parent / source.name)
    return repository


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts)
