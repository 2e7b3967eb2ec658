"""Names of models, and what a repository's configurations say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.shipped import network_file, shipped
from tritonface_server.errors import CommandError
from tritonface_server.model_names import check_detectors, detector_names, model_names, preprocess_name
from tritonface_server.repository import build_entry, remove_unused
from tritonface_server.served_models import all_models, fits, is_used, models_of, preprocess_of

SHARED = "640x640_cubic_preprocess"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two detectors of one kind of pictures, and one of another."""
    folder = tmp_path_factory.mktemp("repository")
    for facts in (
        shipped(),
        replace(shipped(), name="twin"),
        replace(shipped(), name="wide", input_size_wh=(640, 320)),
    ):
        build_entry(facts, network_file().parent, folder)
    return folder


def test_an_empty_repository(tmp_path: Path) -> None:
    assert detector_names(tmp_path) == all_models(tmp_path) == models_of(tmp_path, ["mine"]) == []
    assert preprocess_of(tmp_path, "mine") is None and not is_used(tmp_path, SHARED)
    check_detectors([], tmp_path)
    with pytest.raises(CommandError, match=r"no detector 'mine' in .*; its detectors are: none"):
        check_detectors(["mine"], tmp_path)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({}, SHARED),
        ({"name": "another", "labels": ("person",), "score_threshold": 0.1}, SHARED),
        ({"input_size_wh": (640, 320)}, "640x320_cubic_preprocess"),
        ({"size_multiple": 32}, "640x640_by32_cubic_preprocess"),
        ({"interpolation": "linear", "scaled_decoding": False}, "640x640_linear_whole_preprocess"),
    ],
)
def test_detectors_share_what_decodes_the_same_pictures(facts: dict[str, object], name: str) -> None:
    assert preprocess_name(replace(shipped(), **facts)) == name


def test_the_models_of_detectors(repository: Path) -> None:
    assert detector_names(repository) == ["BlazeFace", "twin", "wide"]
    both = models_of(repository, ["BlazeFace", "twin"])
    assert sorted(both) == sorted([SHARED, *model_names("BlazeFace"), *model_names("twin")])
    assert both[-4:] == ["BlazeFace", "BlazeFace_hpi", "twin", "twin_hpi"]
    assert models_of(repository, ["wide", "gone"])[0] == preprocess_of(repository, "wide") == "640x320_cubic_preprocess"


def test_a_shared_model_is_used_as_long_as_one_uses_it(repository: Path) -> None:
    assert is_used(repository, SHARED) and is_used(repository, SHARED, except_by="twin")
    assert is_used(repository, "640x320_cubic_preprocess", except_by="twin")
    assert not is_used(repository, "640x320_cubic_preprocess", except_by="wide")


def test_a_model_fits_an_ensemble_that_calls_it_by_what_it_has(repository: Path, tmp_path: Path) -> None:
    assert fits(repository / SHARED, repository / "twin")
    assert not fits(repository / "gone", repository / "twin") and not fits(repository / SHARED, repository / "gone")
    lacking = (repository / SHARED / "config.pbtxt").read_text().replace('"strict"', '"strictly"')
    (tmp_path / SHARED).mkdir()
    (tmp_path / SHARED / "config.pbtxt").write_text(lacking)
    assert not fits(tmp_path / SHARED, repository / "twin")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("BlazeFac", "there is no detector 'BlazeFac' in .*; did you mean 'BlazeFace'?"),
        ("BlazeFace_hpi", "did you mean 'BlazeFace'?"),
        ("something", "; its detectors are: BlazeFace, twin, wide"),
        ("", "there is no detector ''"),
    ],
)
def test_names_that_are_no_detectors(repository: Path, name: str, message: str) -> None:
    with pytest.raises(CommandError, match=message.replace("?", r"\?")):
        check_detectors(["twin", name], repository)


def test_only_what_nobody_uses_is_removed(tmp_path: Path) -> None:
    build_entry(shipped(), network_file().parent, tmp_path)
    build_entry(replace(shipped(), input_size_wh=(320, 320)), network_file().parent, tmp_path)  # the same name
    (tmp_path / "mine_preprocess" / "1").mkdir(parents=True)  # somebody's own
    remove_unused(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*_preprocess")) == [
        "320x320_cubic_preprocess",
        "mine_preprocess",
    ]
