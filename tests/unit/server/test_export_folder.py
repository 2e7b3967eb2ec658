"""The settings of an exported folder: what is written is read back, what cannot be served is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.exported import SETTINGS, write_accuracy
from training.detectors import DETECTORS
from training.detectors.description import DetectorDescription
from training.paddlex_folder import write_settings
from tritonface_server.detector import Detector, NmsSettings
from tritonface_server.export_folder import ExportFolderError, read_accuracy, read_folder
from tritonface_server.inference_yml import parse_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"a network, which nobody looks at here")
    return tmp_path


def write(folder: Path, **changes: object) -> Path:
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None}
    (folder / "inference.yml").write_text(yaml.safe_dump(settings))
    return folder


def resize(**changes: object) -> list[dict[str, object]]:
    step = {"type": "Resize", "target_size": [320, 640], "interp": 2, "keep_ratio": False, **changes}
    return [{key: value for key, value in step.items() if value is not None}]


def nms(**changes: object) -> dict[str, object]:
    return {key: value for key, value in {**SETTINGS["NMS"], **changes}.items() if value is not None}


def test_no_settings() -> None:
    with pytest.raises(ValueError, match="the file is None, not a mapping"):
        parse_settings("")


@pytest.mark.parametrize("missing", ["model.onnx", "inference.yml"])
def test_a_missing_file(folder: Path, missing: str) -> None:
    (write(folder) / missing).unlink()
    with pytest.raises(
        ExportFolderError, match=rf"has no {missing}; export the weights anew with .*Global\.mode=export"
    ):
        read_folder(folder)


@pytest.mark.parametrize("described", DETECTORS.values(), ids=DETECTORS)
def test_what_is_written_is_read_back(folder: Path, described: DetectorDescription) -> None:
    ours = replace(described, input_size_wh=(640, 320), labels=("mask", "no", "ö"), score_threshold=0.25)
    write_settings(ours, folder)
    assert vars(read_folder(folder)).items() <= vars(ours).items()


def test_all_of_the_facts_are_the_folders_own(folder: Path) -> None:
    assert read_folder(write(folder)) == Detector(
        name="BlazeFace",
        input_size_wh=(640, 320),
        size_multiple=1,
        interpolation="cubic",
        nms=NmsSettings(score_threshold=0.01, iou_threshold=0.3, top_k=5000, keep_top_k=750),
        labels=("person",),
        score_threshold=0.7,
    )


def test_what_may_be_missing_has_a_default(folder: Path) -> None:
    write(folder, draw_threshold=None, size_multiple=None, Preprocess=resize(interp=None, keep_ratio=None))
    facts = read_folder(folder)
    assert (facts.score_threshold, facts.size_multiple, facts.interpolation) == (0.5, 32, "cubic")


@pytest.mark.fault("B7")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_list": "face"}, r"label_list is 'face'; expected a list of names"),
        ({"label_list": []}, r"label_list is \[\]; expected a list of names"),
        ({"label_list": [False]}, r"label_list is \[False\]; expected a list of names"),
        ({"label_list": [""]}, "label_list is"),
        ({"label_list": None}, "label_list is missing"),
        ({"draw_threshold": float("nan")}, "draw_threshold is nan; expected a number from 0 to 1"),
        ({"draw_threshold": float("inf")}, "draw_threshold is inf"),
        ({"draw_threshold": 2}, "draw_threshold is 2"),
        ({"draw_threshold": -1}, "draw_threshold is -1"),
        ({"draw_threshold": True}, "draw_threshold is True"),
        ({"draw_threshold": "0.5"}, "draw_threshold is '0.5'"),
        ({"Preprocess": resize(interp=0)}, r"Preprocess\.Resize\.interp is 0; .* are 1 \(linear\), 2 \(cubic\)"),
        ({"Preprocess": resize(interp=True)}, r"Preprocess\.Resize\.interp is True"),
        ({"Preprocess": resize(keep_ratio=True)}, r"keep_ratio is true, but pictures are stretched"),
        ({"Preprocess": resize(target_size=640)}, r"target_size is 640; expected \[height, width\]"),
        ({"Preprocess": resize(target_size=[640, 0])}, r"target_size is \[640, 0\]"),
        ({"Preprocess": resize(target_size=[640.0, 640])}, r"target_size is \[640.0, 640\]"),
        ({"Preprocess": resize(target_size=[640, 5000])}, "5000x640"),
        ({"Preprocess": resize(target_size=[640, 650]), "size_multiple": 32}, "650x640.*multiples of 32"),
        ({"Preprocess": []}, "expected a list with one step of the type Resize"),
        ({"Preprocess": resize() * 2}, "expected a list with one step of the type Resize"),
        ({"Preprocess": "Resize"}, "expected a list with one step of the type Resize"),
        ({"NMS": None}, "NMS is missing; export the weights anew"),
        ({"NMS": [0.3]}, r"NMS is \[0.3\], not a mapping"),
        ({"NMS": nms(nms_threshold=1.5)}, r"NMS\.nms_threshold is 1.5"),
        ({"NMS": nms(score_threshold=None)}, r"NMS\.score_threshold is missing"),
        ({"NMS": nms(nms_top_k=-1)}, r"NMS\.nms_top_k is -1; expected a whole number from 1 on"),
        ({"NMS": nms(keep_top_k=10.5)}, r"NMS\.keep_top_k is 10.5"),
        ({"size_multiple": 0}, "size_multiple is 0"),
        ({"Global": None}, "Global is missing"),
        ({"Global": {"model_name": 7}}, r"Global\.model_name is 7"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(folder: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExportFolderError, match=message) as raised:
        read_folder(write(folder, **changes))
    assert str(folder / "inference.yml") in str(raised.value) and "\n" not in str(raised.value)


def test_a_folder_may_say_how_good_it_is(folder: Path) -> None:
    assert read_accuracy(folder) is None
    write_accuracy(folder, better=True)
    assert read_accuracy(folder)["better"] is True
    (folder / "model.onnx").write_bytes(b"another network")
    with pytest.raises(ExportFolderError, match=r"accuracy\.json does not speak of the model\.onnx beside it; export"):
        read_accuracy(folder)


@pytest.mark.parametrize(
    ("text", "message"), [("", "cannot be read as JSON"), ("[" * 10**5, "as JSON"), ("[1]", "is no JSON object")]
)
def test_a_damaged_statement_of_accuracy(folder: Path, text: str, message: str) -> None:
    (folder / "accuracy.json").write_text(text)
    with pytest.raises(ExportFolderError, match=rf"accuracy\.json .*{message}.*remove the file"):
        read_accuracy(folder)


@pytest.mark.parametrize("text", ["[", "- 1", "\x00", "a: !!python/object/apply:os.getcwd []"])
def test_a_damaged_file(folder: Path, text: str) -> None:
    (folder / "inference.yml").write_text(text)
    with pytest.raises(ExportFolderError, match=r"inference\.yml: "):
        read_folder(folder)


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "inference.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExportFolderError, match="can't decode"):
        read_folder(folder)
