"""An exported folder is copied as it is at one moment."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tritonface_server.export_folder import ExportFolderError
from tritonface_server.snapshot import copy_folder


def write(folder: Path, text: str, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(text)
    return folder


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ExportFolderError, match=r"exported has no model\.onnx"):
        copy_folder(write(tmp_path / "exported", ""), tmp_path)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "exported").touch()
    with pytest.raises(ExportFolderError, match=r"exported has no model\.onnx"):
        copy_folder(tmp_path / "exported", tmp_path)


@pytest.mark.parametrize("names", [["model.onnx", "inference.yml"], ["model.onnx", "inference.yml", "model.xml"]])
def test_what_belongs_to_it(tmp_path: Path, names: list[str]) -> None:
    copy = write(tmp_path / "copy", "")
    copy_folder(write(tmp_path / "exported", "text", *names, "train.log"), copy)
    assert sorted(path.name for path in copy.iterdir()) == sorted(names)


@pytest.mark.fault("B23")
def test_the_files_belong_together_while_they_are_replaced(tmp_path: Path) -> None:
    folder, names = tmp_path / "best", ["model.onnx", "inference.yml"]
    away = [write(tmp_path / text, text, *names) for text in ("first", "second")]
    stop = threading.Event()

    def train() -> None:
        while not stop.is_set():
            for each in away:
                each.rename(folder)
                stop.wait(0.001)
                folder.rename(each)

    training = threading.Thread(target=train)
    training.start()
    copy = write(tmp_path / "copy", "")
    seen = set()
    try:
        for _ in range(100):
            copy_folder(folder, copy)
            seen.add(tuple((copy / name).read_text() for name in names))
    finally:
        stop.set()
        training.join()
    assert seen <= {("first", "first"), ("second", "second")}


def test_what_changes_while_it_is_copied_is_copied_anew(tmp_path: Path) -> None:
    """Pipes in place of the copies hold the first attempt up until the files are others."""
    names = ["model.onnx", "inference.yml"]
    exported, copy = write(tmp_path / "exported", "old", *names), write(tmp_path / "copy", "")
    for name in names:
        os.mkfifo(copy / name)

    def replace() -> None:
        with (copy / names[0]).open() as first:
            write(exported, "newer", *names)
            first.read()
        with (copy / names[1]).open() as second:
            for name in names:
                (copy / name).unlink()
            second.read()

    replacing = threading.Thread(target=replace, daemon=True)
    replacing.start()
    copy_folder(exported, copy)
    replacing.join(10)
    assert [(copy / name).read_text() for name in names if (copy / name).is_file()] == ["newer", "newer"]
