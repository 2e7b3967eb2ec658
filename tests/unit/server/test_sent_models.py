"""Which folders of Triton are removed after a server was killed; that they come to be known is in L0_sdk_model_dir."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tritonface_server import sent_models
from tritonface_server.sent_models import CONFIG, RECORD, remove_sent_models

NETWORK = 'backend: "onnxruntime"'
CALL = 'platform: "ensemble" ensemble_scheduling { step { model_name: "%s" model_version: -1 } }'


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which Triton makes its own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(sent_models, "TEMPORARY", folder)
    return folder


def make(temporary: Path, name: str, config: str) -> Path:
    folder = temporary / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "file").touch()
    (folder / CONFIG).write_text(config)
    return folder


def run_folder(tmp_path: Path, name: str, record: dict[Path, str]) -> Path:
    folder = tmp_path / "cache" / name
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps({str(path): model for path, model in record.items()}))
    return folder


def test_nothing_was_sent(temporary: Path, tmp_path: Path) -> None:
    other = make(temporary, "folderAAAAAA", NETWORK)
    remove_sent_models(tmp_path)
    remove_sent_models(run_folder(tmp_path, "server-a", {}))
    assert other.is_dir()


def test_its_own_and_their_ensembles_alone(temporary: Path, tmp_path: Path) -> None:
    own, ensemble = make(temporary, "folderAAAAAA", NETWORK), make(temporary, "folderBBBBBB", CALL % "mine")
    others = [
        make(temporary, "folderCCCCCC", NETWORK),
        make(temporary, "folderDDDDDD", CALL % "yours"),
        make(temporary, "folderEEEEEE", "no configuration {"),
        make(temporary, "folder", CALL % "mine"),
    ]
    (temporary / "folderFFFFFF").mkdir()
    (temporary / "folderGGGGGG").symlink_to(others[0])
    remove_sent_models(run_folder(tmp_path, "server-a", {own: "mine", temporary / "folderGONEAA": "gone"}))
    assert not own.exists() and not ensemble.exists()
    assert all(folder.is_dir() for folder in (*others, temporary / "folderFFFFFF", temporary / "folderGGGGGG"))


def test_an_ensemble_that_may_be_another_servers_stays(temporary: Path, tmp_path: Path) -> None:
    ours, theirs = make(temporary, "folderAAAAAA", NETWORK), make(temporary, "folderBBBBBB", NETWORK)
    ensemble = make(temporary, "folderCCCCCC", CALL % "model")
    first, second = (
        run_folder(tmp_path, f"server-{name}", {folder: "model"}) for name, folder in (("a", ours), ("b", theirs))
    )
    remove_sent_models(first)
    assert not ours.exists() and theirs.is_dir() and ensemble.is_dir()
    (first / RECORD).unlink()
    remove_sent_models(second)
    assert not theirs.exists() and not ensemble.exists()


def test_a_record_of_no_use(temporary: Path, tmp_path: Path) -> None:
    folder = make(temporary, "folderAAAAAA", NETWORK)
    run = run_folder(tmp_path, "server-a", {})
    (run / RECORD).write_text("{")
    remove_sent_models(run)
    assert folder.is_dir()
