"""The scripts of examples/ that need no packages but those of the tests; the others are in test_examples_long.py."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.films import picture
from training.paths import ROOT
from tritonface_server.server import TritonServer

EXAMPLES = ROOT / "examples"


def example(server: TritonServer, name: str, *arguments: object, cwd: Path | None = None) -> list[str]:
    """The lines that a script prints."""
    run = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        env={"TRITONFACE_URL": server.endpoints.grpc, "PYTHONPATH": f"{ROOT / 'client'}:{ROOT / 'server'}"},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_every_example_is_documented_and_tested() -> None:
    page = (ROOT / "docs" / "examples.md").read_text()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb"))
    assert len(names) == 7 and all(name in page and name in tests for name in names)


def test_export_coco(server: TritonServer, tmp_path: Path, solvay: Path, astronaut: Path) -> None:
    photos, dataset = tmp_path / "photos", tmp_path / "dataset"
    (photos / "a").mkdir(parents=True)
    shutil.copy(solvay, photos / "a" / "same.jpg"), shutil.copy(astronaut, photos / "same.jpg")
    (photos / "bad.jpg").write_bytes(b"bad")
    lines = example(server, "export_coco.py", photos, dataset, "--detector", "BlazeFace")
    assert lines[0].startswith("left out:") and lines[1].startswith("2 photos, ")
    data = json.loads((dataset / "annotations" / "instance_train.json").read_text())
    assert sorted(image["file_name"] for image in data["images"]) == ["a_same.jpg", "same.jpg"]
    assert sorted(path.name for path in (dataset / "images").iterdir()) == ["a_same.jpg", "same.jpg"]
    scores = [each["score"] for each in data["annotations"]]
    assert min(scores) >= 0.3 and max(scores) > 0.9 and len(scores) > 10
    assert all(each["attributes"]["review"] == (each["score"] < 0.7) for each in data["annotations"])


@pytest.fixture
def people(tmp_path: Path, astronaut: Path, solvay: Path) -> Path:
    folder = tmp_path / "people"
    folder.mkdir()
    shutil.copy(astronaut, folder / "eileen.jpg")
    with Image.open(solvay) as image:
        image.crop((340, 320, 500, 480)).resize((480, 480)).save(folder / "curie.png")
    return folder


def test_recognise(server: TritonServer, tmp_path: Path, people: Path) -> None:
    Image.fromarray(picture(0, (640, 480))).save(tmp_path / "photo.png")
    lines = example(server, "recognise.py", people, tmp_path / "photo.png")
    assert re.match(r"eileen \((1\.00|0\.9\d)\) at", lines[0])
    lines = example(server, "recognise.py", people, people / "curie.png", "--least", "0.99")
    assert sum(line.startswith("curie (1.00)") for line in lines) == 1 and not any("eileen" in line for line in lines)
