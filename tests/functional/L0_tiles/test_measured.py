"""`python -m perf.tiles`, on the demo photos side by side: what its report says. A few ways will do here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perf import tiles
from perf.tiles import main
from tests.demo_faces import label_demo_photos


def test_no_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--images", str(tmp_path), "--annotations", str(tmp_path / "none.json")]) == 1
    assert "none.json does not exist" in capsys.readouterr().err


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo_wh = (2000, 1333)
    monkeypatch.setattr(tiles, "SIZES_PX", {photo_wh: (1280,)})
    monkeypatch.setattr(tiles, "TILES_PX", {photo_wh: (640,)})
    data = label_demo_photos(tmp_path)
    annotations = data / "annotations" / "instance_val.json"
    options = ["--detector", "BlazeFace", "--output", str(tmp_path / "output")]
    assert main(["--images", str(data / "images"), "--annotations", str(annotations), *options]) == 0
    rows = json.loads((tmp_path / "output" / "report.json").read_text())["rows"]
    assert [row["label"] for row in rows] == ["640x640", "`img_size=1280`", "`tiles=640`"]
    for row in rows:
        assert row["detector"] == "BlazeFace" and row["ms"] > 0 and row["cores"] > 0
        assert row["pictures"] == 1 or row["tile_px"]
    whole, _, tiled = (row["figures"]["ap50"] for row in rows)
    assert tiled > whole
    report = (tmp_path / "output" / "report.md").read_text()
    assert "## 1 photos of 2000x1333" in report and f"| BlazeFace | `tiles=640` | {rows[-1]['pictures']} |" in report
