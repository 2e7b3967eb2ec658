"""Any value in an exported folder is taken, or refused in a line that names the file and the field."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.exported import SETTINGS
from tritonface_server.export_folder import ExportFolderError, read_folder

ABSENT = "absent"
NOT_THERE = [ABSENT, None]
NO_SECTIONS = [*NOT_THERE, [], "text", 7, {}]
FRACTIONS, NO_FRACTIONS = [0, 1, 0.25, 1e-9, -0.0], [-1, 2, float("nan"), float("inf"), "0.5", True, [0.5], "text"]
COUNTS, NO_COUNTS = [1, 16, 10**30], [0, -1, 3.0, "3", True, [], "text"]
TAKEN: dict[str, list[Any]] = {
    "Preprocess.target_size": [[32, 2048], [640, 650]],
    "Preprocess.interp": [*NOT_THERE, 1, 2],
    "Preprocess.keep_ratio": [*NOT_THERE, False, 0, "", []],
    "NMS.score_threshold": FRACTIONS,
    "NMS.nms_threshold": FRACTIONS,
    "NMS.nms_top_k": COUNTS,
    "NMS.keep_top_k": COUNTS,
    "size_multiple": [*NOT_THERE, 1, 16, 32, 64],
    "label_list": [["face"], ["face", "mask"], [1, 2], ["ö", "日本"], ["face", "face"]],
    "draw_threshold": [*NOT_THERE, *FRACTIONS],
}
REFUSED: dict[str, list[Any]] = {
    "Global": NO_SECTIONS,
    "Global.model_name": [*NOT_THERE, "", 7, ["BlazeFace"], True],
    "Preprocess": [*NO_SECTIONS, [7], [{}], [{"type": "Permute"}], [None], {"type": "Resize"}],
    "Preprocess.target_size": [
        *(*NOT_THERE, 640, "640", [], [640], [640, 640, 3], [640, None], [640, 0], [640, -640], [640.0, 640]),
        *(["640", 640], [True, 640], [31, 640], [640, 2049], [640, 10**30], {"height": 640}),
    ],
    "Preprocess.interp": [0, 3, 4, -1, 1.0, 2.0, "2", "cubic", True, [], float("nan")],
    "Preprocess.keep_ratio": [True, 1, "false"],
    "NMS": [*NO_SECTIONS, [0.3]],
    "NMS.score_threshold": [*NOT_THERE, *NO_FRACTIONS],
    "NMS.nms_threshold": [*NOT_THERE, *NO_FRACTIONS],
    "NMS.nms_top_k": [*NOT_THERE, *NO_COUNTS],
    "NMS.keep_top_k": [*NOT_THERE, *NO_COUNTS],
    "size_multiple": [*NO_COUNTS, 10**30],
    "label_list": [
        *(*NOT_THERE, "face", "", 7, {}, {"face": 0}, [], [""], [None], [True], [1.5], [["face"]]),
    ],
    "draw_threshold": NO_FRACTIONS,
}
TEXTS = ["", "7", "- 1", "face", "[", "\x00", "a: !!python/object/apply:os.getcwd []", "a: &a [*a]", "{1: 2}", "\tx: 1"]


def changed(changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The settings of an export with some values changed, "a.b" being one in the section (or the Resize step) a."""
    settings = yaml.safe_load(yaml.safe_dump(SETTINGS))
    for name, value in sorted(changes, key=lambda change: -change[0].count(".")):  # sections last: they may go
        section, _, key = name.rpartition(".")
        target = settings[section] if section else settings
        target = target[0] if isinstance(target, list) else target
        if value == ABSENT:
            del target[key]
        else:
            target[key] = value
    return settings


def refusal(folder: Path) -> str:
    """Why the folder is refused, in one line that names the file, without the folder; empty if it is taken."""
    try:
        read_folder(folder)
    except ExportFolderError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
        return str(error).replace(str(folder), "")  # whose name is that of the test, and so of the field
    return ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"a network, which nobody looks at here")
    return tmp_path


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "has no model.onnx; export the weights anew" in refusal(tmp_path)


def test_the_unchanged_folder_is_taken(folder: Path) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    assert not refusal(folder)


def each(values: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name in values for value in values[name]]


@pytest.mark.fault("B7")
@pytest.mark.parametrize(("name", "value"), each(TAKEN), ids=lambda each: repr(each)[:40])
def test_one_value_that_is_taken(folder: Path, name: str, value: Any) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(changed([(name, value)])))
    assert not refusal(folder)


@pytest.mark.fault("B7")
@pytest.mark.parametrize(("name", "value"), each(REFUSED), ids=lambda each: repr(each)[:40])
def test_one_value_that_is_refused(folder: Path, name: str, value: Any) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(changed([(name, value)])))
    assert name.split(".")[-1] in refusal(folder)


@pytest.mark.fault("B7")
def test_two_values_at_a_time(folder: Path) -> None:
    """Values that could hide one another: absent ones and wrong ones."""
    few = [(name, value) for name in REFUSED if "." in name for value in (ABSENT, REFUSED[name][-1])]
    for one, other in itertools.combinations(few, 2):
        if one[0] != other[0]:
            (folder / "inference.yml").write_text(yaml.safe_dump(changed([one, other])))
            may_be_absent = all(value == ABSENT and ABSENT in TAKEN.get(name, []) for name, value in (one, other))
            assert bool(refusal(folder)) is not may_be_absent


@pytest.mark.fault("B7")
@pytest.mark.parametrize("text", TEXTS)
def test_files_that_hold_something_else(folder: Path, text: str) -> None:
    (folder / "inference.yml").write_text(text)
    assert refusal(folder)


@pytest.mark.fault("B7")
@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xef\xbb\xbfdraw_threshold: 0.5", b"a: \xe9"])
def test_files_in_other_encodings(folder: Path, data: bytes) -> None:
    (folder / "inference.yml").write_bytes(data)
    assert refusal(folder)


@pytest.mark.fault("B7")
@pytest.mark.parametrize("name", ["model.onnx", "inference.yml"])
def test_a_folder_in_place_of_a_file(folder: Path, name: str) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"has no {name}" in refusal(folder)
