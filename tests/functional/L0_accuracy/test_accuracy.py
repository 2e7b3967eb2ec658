"""The report on accuracy from a real server, on the two demo photos labelled with what BlazeFace itself finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perf.accuracy.__main__ import main
from tests.demo_faces import FACE_SCORE, label_demo_photos
from tests.shipped import shipped


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return label_demo_photos(tmp_path_factory.mktemp("data"))


def arguments(data_set: Path, repository: Path, output: Path) -> list[str]:
    given = {
        "--images": data_set / "images",
        "--annotations": data_set / "annotations" / "instance_val.json",
        "--model-repository": repository,
        "--output": output,
    }
    return [str(part) for pair in given.items() for part in pair]


def test_no_photos(tmp_path: Path, one_detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, one_detector, tmp_path / "output")) == 1
    assert "instance_val.json does not exist" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


def test_a_peer_that_is_none(
    data_set: Path, one_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "yunet.onnx").write_bytes(b"no network")
    given = [*arguments(data_set, one_detector, tmp_path / "output"), "--yunet", str(tmp_path / "yunet.onnx")]
    assert main(given) == 1
    assert "yunet.onnx as YuNet" in capsys.readouterr().err


def test_what_is_served_gets_its_figures(data_set: Path, one_detector: Path, tmp_path: Path) -> None:
    assert main(arguments(data_set, one_detector, tmp_path)) == 0
    figures = json.loads((tmp_path / "report.json").read_text())["figures"]
    assert figures.keys() == {"BlazeFace, normal", "BlazeFace, hpi"}
    for row in figures.values():  # it is its own yardstick, down to FACE_SCORE
        precision, recall = row["at"][str(FACE_SCORE)]
        assert precision > 0.9 and recall > 0.9 and row["ap50"] > 0.9
        assert row["threshold"] == shipped().score_threshold and row["best_f1"] >= row["f1"]
    report = (tmp_path / "report.md").read_text()
    assert "## BlazeFace\n\nAt its default threshold" in report
    assert "From the card `weights/BlazeFace.md`:" in report
    for picture in ("all.png", "BlazeFace.png"):
        assert f"({picture})" in report and (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
