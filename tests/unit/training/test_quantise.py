from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino
import pytest

from tests.shipped import network_file
from training import quantise
from training.detectors import get_detector
from training.paths import ROOT

DETECTOR = get_detector("BlazeFace")
PHOTOS = ROOT / "demo" / "photos"


@pytest.fixture(scope="module")
def network() -> openvino.Model:
    return openvino.convert_model(network_file(DETECTOR.name))


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """One of the demo's photos, one face."""
    content = {
        "images": [{"id": 1, "file_name": "astronaut.jpg", "width": 512, "height": 512}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [175, 65, 95, 130], "area": 12350, "iscrowd": 0}
        ],
        "categories": [{"id": 1, "name": "face"}],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(autouse=True)
def handlers_keep_their_levels() -> Iterator[None]:
    """NNCF raises those of the root logger, and with them pytest's own for the rest of its run."""
    levels = [(handler, handler.level) for handler in logging.root.handlers]
    yield
    for handler, level in levels:
        handler.setLevel(level)


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["quantise", DETECTOR.name, *map(str, arguments)])
    quantise.main()


def test_no_photos_to_calibrate_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="error: no photos to calibrate on"):
        run_main(monkeypatch, "--images", tmp_path, "--output", tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


@pytest.mark.fault("B29")
def test_a_pipe_among_the_photos_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SystemExit, match=r"pipe\.jpg: .*not a file"):
        run_main(monkeypatch, "--images", tmp_path)


def test_a_damaged_photo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match=r"broken\.jpg: not a JPEG"):
        run_main(monkeypatch, "--images", tmp_path)


def test_normalisation_and_decoding_stay_and_convolutions_do_not(network: openvino.Model) -> None:
    names = quantise.operations_around(network)
    kept = {node.get_type_name() for node in network.get_ops() if node.get_friendly_name() in names}
    assert {"Gather", "Subtract", "Exp", "Softmax", "Transpose"} <= kept
    assert not kept & {"Convolution", "GroupConvolution", "Relu", "MaxPool"}


@pytest.mark.parametrize("name", ["BlazeFace", "PP-YOLOE_plus-S_face"])
def test_what_a_convolution_has_learnt_is_a_constant(name: str) -> None:
    """NNCF quantises nothing else as weights; in the file they may be float16 with factors."""
    kernels = [
        node.input_value(1).get_node().get_type_name()
        for node in openvino.convert_model(network_file(name)).get_ops()
        if node.get_type_name() == "Convolution"
    ]
    assert len(kernels) > 20 and {*kernels} == {"Constant"}


def test_calibration_photos_look_as_the_server_sees_them() -> None:
    files = sorted(PHOTOS.glob("*.jpg"))
    pictures = quantise.calibration_pictures(DETECTOR, files, 2)
    assert [(picture.shape, picture.dtype) for picture in pictures] == [((640, 640, 3), np.uint8)] * 2
    again = quantise.calibration_pictures(DETECTOR, files, 1)
    np.testing.assert_array_equal(again[0], pictures[0])


@pytest.mark.parametrize(("loss", "kept"), [(-0.01, True), (0.0049, True), (0.0051, False)])
def test_the_bound_on_lost_precision(loss: float, kept: bool) -> None:
    figures = {"f32": {"AP": 0.5}, "INT8": {"AP": 0.5 - loss}}
    if kept:
        quantise.check(figures, "INT8")
    else:
        with pytest.raises(quantise.QuantisationError, match=r"loses 0\.0051 AP against f32, the limit is 0\.005"):
            quantise.check(figures, "INT8")


def test_an_int8_network_that_finds_the_same_face(
    annotations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quantise, "MAX_AP_LOSS", 0.2)  # one photo: AP moves in large steps
    run_main(monkeypatch, "--images", PHOTOS, "--annotations", annotations, "--output", tmp_path / "int8")
    printed = capsys.readouterr().out
    assert "| f32 |" in printed and "| INT8" in printed
    model = openvino.Core().read_model(tmp_path / "int8" / "model.xml")
    types = [node.get_type_name() for node in model.get_ops()]
    assert types.count("FakeQuantize") > 40
    assert model.input("picture").partial_shape == openvino.PartialShape([-1, -1, -1, 3])
    assert {name for output in model.outputs for name in output.names} == {"boxes", "scores"}


@pytest.mark.parametrize(("int8_aps", "outer_convolutions_kept"), [([0.496], False), ([0.4, 0.496], True)])
def test_the_outer_convolutions_stay_float_where_that_is_needed(
    int8_aps: list[float],
    outer_convolutions_kept: bool,
    annotations: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    network: openvino.Model,
) -> None:
    plans = pretend(monkeypatch, [0.5, 0.5, *int8_aps])
    run_main(monkeypatch, "--images", PHOTOS, "--annotations", annotations, "--output", tmp_path / "int8")
    assert (tmp_path / "int8" / "model.bin").is_file()
    outer = quantise.outermost_convolutions(network)
    assert len(outer) == 1 + 4  # the stem; boxes and scores of two levels
    assert (set(outer) <= set(plans[-1])) == outer_convolutions_kept


def test_a_network_that_loses_too_much_is_not_kept(
    annotations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, [0.5, 0.5, 0.3, 0.4])
    with pytest.raises(SystemExit, match=r"^error: INT8, first and last float loses 0\.1000 AP .* not kept; [^\n]*$"):
        run_main(monkeypatch, "--images", PHOTOS, "--annotations", annotations, "--output", tmp_path / "int8")
    assert not (tmp_path / "int8").exists()


def pretend(monkeypatch: pytest.MonkeyPatch, aps: list[float]) -> list[list[str]]:
    """AP measurements that give these figures, and no quantisation; returns what was to stay float each time."""
    measured, plans = iter(aps), []

    def keep(network: openvino.Model, _: object, *, keep_in_float: list[str]) -> openvino.Model:
        plans.append(keep_in_float)
        return network

    monkeypatch.setattr(quantise, "average_precision", lambda *_: {"AP": next(measured)})
    monkeypatch.setattr(quantise, "best_float", lambda: "bf16")
    monkeypatch.setattr(quantise, "quantise", keep)
    return plans
