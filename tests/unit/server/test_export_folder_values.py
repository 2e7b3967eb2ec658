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
NO_SECTIONS = [ABSENT, None, [], "text", 7, {}]
FRACTIONS = [ABSENT, None, 0, 1, 0.25, 1e-9, -1, 2, -0.0, float("nan"), float("inf"), "0.5", True, [0.5], "text"]
COUNTS = [ABSENT, None, 1, 16, 0, -1, 3.0, 10**30, "3", True, [], "text"]
VALUES: dict[str, list[Any]] = {
    "Global": NO_SECTIONS,
    "Global.model_name": [ABSENT, None, "", 7, ["BlazeFace"], True],
    "Preprocess": [*NO_SECTIONS, [7], [{}], [{"type": "Permute"}], [None], {"type": "Resize"}],
    "Preprocess.target_size": [
        *(ABSENT, None, 640, "640", [], [640], [640, 640, 3], [640, None], [640, 0], [640, -640], [640.0, 640]),
        *(["640", 640], [True, 640], [32, 2048], [31, 640], [640, 2049], [640, 10**30], {"height": 640}, [640, 650]),
    ],
    "Preprocess.interp": [ABSENT, None, 0, 1, 2, 3, 4, -1, 1.0, 2.0, "2", "cubic", True, [], float("nan")],
    "Preprocess.keep_ratio": [ABSENT, None, False, True, 0, 1, "", "false", []],
    "NMS": [*NO_SECTIONS, [0.3]],
    "NMS.score_threshold": FRACTIONS,
    "NMS.nms_threshold": FRACTIONS,
    "NMS.nms_top_k": COUNTS,
    "NMS.keep_top_k": COUNTS,
    "size_multiple": [*COUNTS, 32, 64],
    "label_list": [
        *(ABSENT, None, "face", "", 7, {}, {"face": 0}, [], ["face"], ["face", "mask"], [1, 2], [""], [None], [True]),
        *([1.5], [["face"]], ["ö", "日本"], ["face", "face"]),
    ],
    "draw_threshold": FRACTIONS,
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
    """Why the folder is refused, in one line that names the file; empty if it is taken."""
    try:
        read_folder(folder)
    except ExportFolderError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
        return str(error)
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


SINGLE = [(name, value) for name, values in VALUES.items() for value in values]


@pytest.mark.fault("B7")
@pytest.mark.parametrize(("name", "value"), SINGLE, ids=lambda each: repr(each)[:40])
def test_one_value(folder: Path, name: str, value: Any) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(changed([(name, value)])))
    reason = refusal(folder)
    assert not reason or name.split(".")[-1] in reason


@pytest.mark.fault("B7")
def test_two_values_at_a_time(folder: Path) -> None:
    """Values that could hide one another: absent ones and wrong ones."""
    few = {name: [values[0], values[-1]] for name, values in VALUES.items() if "." in name}
    for one, other in itertools.combinations(few, 2):
        for pair in itertools.product(few[one], few[other]):
            changes = list(zip((one, other), pair))
            (folder / "inference.yml").write_text(yaml.safe_dump(changed(changes)))
            refusal(folder)


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
