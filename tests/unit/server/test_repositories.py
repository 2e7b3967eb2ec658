"""Several places with models: what is there, what is asked of Triton, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.shipped import network_file, shipped
from tritonface_server.errors import CommandError
from tritonface_server.machine import LaunchError
from tritonface_server.model_names import model_names
from tritonface_server.repositories import Repositories, place, twofold
from tritonface_server.repository import build_entry

SHARED = "640x640_cubic_preprocess"
STORE = "s3://bucket/models"


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """BlazeFace with what decodes, and `mine` without, as it is published beside it."""
    base, published = tmp_path / "base", tmp_path / "published"
    build_entry(shipped(), network_file().parent, base)
    build_entry(replace(shipped(), name="mine"), network_file().parent, published)
    (published / SHARED).rename(tmp_path / SHARED)
    return base, published


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="no model repository at"):
        Repositories([tmp_path / "missing"]).check()
    with pytest.raises(LaunchError, match=r"is empty.*--model-repository DIR"):
        Repositories([tmp_path]).check()


def test_a_repository_with_a_model_and_one_without(tmp_path: Path) -> None:
    (tmp_path / "first" / "model").mkdir(parents=True)
    (tmp_path / "first" / "model" / "config.pbtxt").touch()
    (tmp_path / "empty").mkdir()
    both = Repositories([tmp_path / "first", tmp_path / "empty"])
    both.check()
    assert both.models(None) == ["model"]


def test_detectors_of_two(two: tuple[Path, Path]) -> None:
    both = Repositories(two)
    both.check()
    assert both.detectors() == ["BlazeFace", "mine"]
    assert sorted(both.models(None)) == sorted([SHARED, *model_names("BlazeFace"), *model_names("mine")])
    assert sorted(both.models(["mine"])) == sorted([SHARED, *model_names("mine")])
    assert both.processes(both.models(["mine"]), "cpu_1") == 5
    both.check_detectors(["mine", "BlazeFace"])
    with pytest.raises(CommandError, match=r"no detector 'mines' in .*base, .*published; did you mean 'mine'"):
        both.check_detectors(["mines"])


def test_a_model_in_two_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / SHARED).rename(two[1] / SHARED)  # as if it had been published for another server
    assert twofold(two) == [SHARED]
    with pytest.raises(LaunchError, match=rf"{SHARED} lie in more than one of .*; remove one of them"):
        Repositories(two).check()


@pytest.mark.parametrize("text", [STORE, "gs://bucket/models", "as://account/container/models"])
def test_what_triton_reads_itself(text: str, two: tuple[Path, Path]) -> None:
    store = Repositories([place(text)])
    store.check()
    store.check_detectors(["whatever"])
    assert store.models(["mine"]) == ["mine", "mine_hpi"] and store.processes(["mine"], "cpu") == 0
    with pytest.raises(LaunchError, match=f"name the detectors .*--detectors A,B: the launcher cannot list {text}"):
        store.models(None)
    mixed = Repositories([place(text), place(str(two[0]))])
    assert mixed.folders == [two[0]]
    assert mixed.models(["mine", "BlazeFace"])[-4:] == ["BlazeFace", "BlazeFace_hpi", "mine", "mine_hpi"]
