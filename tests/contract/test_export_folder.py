"""Server and SDK read an exported folder by the same rules: both take it for the same, or both refuse it alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.exported import SETTINGS
from tritonface import InvalidArgumentError
from tritonface._export_folder import read_export
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


def by_server(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """What the server's side takes the folder for, or why it does not."""
    try:
        facts = read_folder(folder)
    except ExportFolderError as error:
        return None, str(error)
    read = vars(facts) | {"nms": vars(facts.nms), "labels": list(facts.labels)}
    read.pop("scaled_decoding")  # of the server alone
    return read, ""


def by_sdk(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The same of the SDK, with the server's names."""
    try:
        facts = read_export(folder, "BlazeFace")
    except InvalidArgumentError as error:
        return None, str(error)
    names = {"model_name": "name", "threshold": "score_threshold"}
    read = {names.get(name, name): value for name, value in vars(facts).items() if name not in ("folder", "network")}
    return read, ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"a network, which nobody looks at here")
    return tmp_path


def test_an_empty_folder(tmp_path: Path) -> None:
    assert by_server(tmp_path) == by_sdk(tmp_path)
    assert "has no model.onnx; export the weights anew" in by_sdk(tmp_path)[1]


def test_the_unchanged_folder_is_taken(folder: Path) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    facts, _ = by_server(folder)
    assert facts and by_sdk(folder) == (facts, "")


SINGLE = [(name, value) for name, values in VALUES.items() for value in values]


@pytest.mark.fault("B7")
@pytest.mark.parametrize(("name", "value"), SINGLE, ids=lambda each: repr(each)[:40])
def test_one_value(folder: Path, name: str, value: Any) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(changed([(name, value)])))
    facts, reason = by_server(folder)
    assert (facts, reason) == by_sdk(folder)
    assert facts or str(folder / "inference.yml") in reason
    assert "\n" not in reason


@pytest.mark.fault("B7")
def test_two_values_at_a_time(folder: Path) -> None:
    """Values that could hide one another: absent ones and wrong ones."""
    few = {name: [values[0], values[-1]] for name, values in VALUES.items() if "." in name}
    for one, other in itertools.combinations(few, 2):
        for pair in itertools.product(few[one], few[other]):
            changes = list(zip((one, other), pair))
            (folder / "inference.yml").write_text(yaml.safe_dump(changed(changes)))
            assert by_server(folder) == by_sdk(folder), changes


@pytest.mark.fault("B7")
@pytest.mark.parametrize("text", TEXTS)
def test_files_that_hold_something_else(folder: Path, text: str) -> None:
    (folder / "inference.yml").write_text(text)
    facts, reason = by_server(folder)
    assert facts is None and (facts, reason) == by_sdk(folder)


@pytest.mark.fault("B7")
@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xef\xbb\xbfdraw_threshold: 0.5", b"a: \xe9"])
def test_files_in_other_encodings(folder: Path, data: bytes) -> None:
    (folder / "inference.yml").write_bytes(data)
    assert by_server(folder) == by_sdk(folder)
    (folder / "inference.yml").write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(SETTINGS).encode())
    assert by_server(folder)[0] and by_server(folder) == by_sdk(folder)


@pytest.mark.fault("B7")
@pytest.mark.parametrize("name", ["model.onnx", "inference.yml"])
def test_a_folder_in_place_of_a_file(folder: Path, name: str) -> None:
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    (folder / name).unlink()
    (folder / name).mkdir()
    assert by_server(folder) == by_sdk(folder) == (None, by_sdk(folder)[1])
