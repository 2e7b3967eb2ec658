"""`make demo` as the README promises it; the faces that docs/accuracy.md counts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from training.detectors import DETECTORS
from training.paths import ROOT
from tritonface import create_model
from tritonface_server.server import TritonServer

# Centres of the 29 faces of solvay_1927.jpg in pixels, read off the photo: back, middle and front row.
SOLVAY_FACES = [
    *[(196, 241), (265, 261), (315, 282), (394, 274), (472, 281), (549, 275), (614, 274), (682, 269), (758, 267)],
    *[(807, 240), (842, 270)],
    *[(96, 327), (181, 338), (270, 333), (370, 330), (478, 326), (564, 325), (648, 340), (749, 341), (834, 342)],
    *[(124, 351), (221, 353), (314, 360), (421, 368), (535, 358), (632, 356), (697, 361), (800, 367), (869, 378)],
]


def test_the_demo(tmp_path: Path) -> None:
    run = subprocess.run(
        [ROOT / ".venv" / "bin" / "python", ROOT / "demo" / "demo.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert "{'res': {'input_path':" in run.stdout
    for stem in ("astronaut", "solvay_1927"):
        result = json.loads((tmp_path / "output" / f"{stem}_res.json").read_text())
        assert set(result) == {"input_path", "boxes"} and result["boxes"]
        assert size_of(tmp_path / "output" / f"{stem}_res.jpg") == size_of(ROOT / "demo" / "photos" / f"{stem}.jpg")


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.mark.parametrize("name", DETECTORS)
def test_the_documented_count_of_faces(server: TritonServer, solvay: Path, astronaut: Path, name: str) -> None:
    with create_model(name, url=server.endpoints.grpc) as model:
        crowd, portrait = model.predict([solvay, astronaut])
    hits = [hit for box in crowd["boxes"] if (hit := face_in(box["coordinate"])) is not None]
    counts = (len(set(hits)), len(crowd) - len(set(hits)), len(portrait))
    assert f"| {name} | {counts[0]} | {counts[1]} | {counts[2]} |" in (ROOT / "docs" / "accuracy.md").read_text()


def face_in(box_xyxy: list[float]) -> int | None:
    """The face whose centre lies nearest to the middle of the box and inside it."""
    x_min, y_min, x_max, y_max = box_xyxy
    middle = (x_min + x_max) / 2, (y_min + y_max) / 2
    inside = [i for i, (x, y) in enumerate(SOLVAY_FACES) if x_min < x < x_max and y_min < y < y_max]
    return min(
        inside, key=lambda i: abs(SOLVAY_FACES[i][0] - middle[0]) + abs(SOLVAY_FACES[i][1] - middle[1]), default=None
    )
