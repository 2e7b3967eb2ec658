from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dataset import draw_dataset, file_of, read, write
from training.coco_dataset import load_dataset
from training.dataset_problems import DatasetError
from training.paths import ROOT
from training.resplit import resplit

KILLED = """
import os, signal, sys
from pathlib import Path
from training.resplit import resplit

moves = int(sys.argv[2])

def trace(event, arguments):
    global moves
    if event in ("os.rename", "os.rmdir") and "annotations" in str(arguments[0]):
        if not moves:
            os.kill(os.getpid(), signal.SIGKILL)
        moves -= 1

sys.addaudithook(trace)
resplit(Path(sys.argv[1]), 50, 0)
"""
"""Splits a data set and is killed before a given rename, so at every moment at which another file is the data set's."""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data", train=6, val=4)


def names_of(dataset: Path) -> dict[str, set[str]]:
    return {name: {image.file_name for image in split.images} for name, split in load_dataset(dataset).items()}


def killed_after(dataset: Path, moves: int) -> int:
    command = [sys.executable, "-c", KILLED, str(dataset), str(moves)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).returncode


@pytest.mark.fault("B22")
@pytest.mark.parametrize("moves", range(7))
def test_killed_at_any_moment_nothing_is_lost(dataset: Path, tmp_path: Path, moves: int) -> None:
    before, originals = names_of(dataset), {name: file_of(dataset, name).read_bytes() for name in ("train", "val")}
    everything = before["train"] | before["val"]
    resplit(draw_dataset(tmp_path / "whole", train=6, val=4), 50, 0)
    wanted = names_of(tmp_path / "whole")
    code = killed_after(dataset, moves)
    assert code == (-signal.SIGKILL if moves < 6 else 0)  # the folder, twice copy and move, and its removal
    for name in ("train", "val"):
        assert file_of(dataset, name).is_file()
    assert names_of(dataset) in (before, wanted)  # the next mode sees one or the other, never half of it
    resplit(dataset, 50, 0)
    assert names_of(dataset) == wanted and wanted["train"] | wanted["val"] == everything
    backups = sorted(path.name for path in (dataset / "annotations").iterdir())
    assert backups == sorted(f"instance_{name}.json{suffix}" for name in originals for suffix in ("", ".bak"))
    for name, content in originals.items():
        assert (dataset / "annotations" / f"instance_{name}.json.bak").read_bytes() == content


@pytest.mark.fault("B22")
def test_a_missing_file_whose_backup_is_there_is_not_passed_over(dataset: Path) -> None:
    file_of(dataset, "train").rename(dataset / "annotations" / "instance_train.json.bak")
    with pytest.raises(DatasetError, match=r"instance_train\.json is missing, but instance_train\.json\.bak is there"):
        resplit(dataset, 50, 0)
    assert len(read(dataset, "val")["images"]) == 4


def test_other_entries_are_kept(dataset: Path) -> None:
    data = read(dataset)
    data["licenses"] = [{"id": 1, "name": "CC"}]
    data["images"][0]["licence"] = 1
    file_of(dataset, "train").write_text(json.dumps(data))
    resplit(dataset, 50, 0)
    assert read(dataset)["licenses"] == data["licenses"]
    kept = [image for name in ("train", "val") for image in read(dataset, name)["images"] if "licence" in image]
    assert [image["file_name"] for image in kept] == [data["images"][0]["file_name"]]


def test_splitting_anew_keeps_everything(dataset: Path) -> None:
    before = {split: file_of(dataset, split).read_bytes() for split in ("train", "val")}
    resplit(dataset, 50, 0)
    assert [len(names) for names in names_of(dataset).values()] == [5, 5]
    for split, contents in before.items():
        assert (file_of(dataset, split).parent / f"instance_{split}.json.bak").read_bytes() == contents
    parts = [split.images for split in load_dataset(dataset).values()]
    names = [image.file_name for part in parts for image in part]
    assert len(set(names)) == 10
    assert all(image.boxes_xyxy_px.tolist() == [[10, 8, 30, 32]] for part in parts for image in part)


def test_splitting_is_repeatable_whatever_the_split_before(dataset: Path, tmp_path: Path) -> None:
    resplit(dataset, 50, 3)
    first = {split: file_of(dataset, split).read_bytes() for split in ("train", "val")}
    resplit(dataset, 50, 3)
    assert len(list((dataset / "annotations").iterdir())) == 4  # the second run wrote nothing
    other = draw_dataset(tmp_path / "other", train=6, val=4)
    data = read(other)
    random.Random(1).shuffle(data["images"])
    write(other, "train", data)
    resplit(other, 50, 3)
    assert {split: file_of(other, split).read_bytes() for split in first} == first


def test_no_original_is_ever_overwritten(dataset: Path) -> None:
    original = file_of(dataset, "train").read_bytes()
    resplit(dataset, 50, 0)
    resplit(dataset, 67, 0)
    names = sorted(path.name for path in (dataset / "annotations").glob("*train*"))
    assert names == ["instance_train.json", "instance_train.json.bak", "instance_train.json.bak.1"]
    assert (dataset / "annotations" / "instance_train.json.bak").read_bytes() == original


def test_splitting_needs_one_file_only(dataset: Path) -> None:
    file_of(dataset, "val").unlink()
    resplit(dataset, 50, 0)
    assert [len(names) for names in names_of(dataset).values()] == [3, 3]


@pytest.mark.parametrize("percent", [0, 1, 99, 100])
def test_a_split_without_pictures_is_refused_and_nothing_written(dataset: Path, percent: int) -> None:
    before = {path: path.read_bytes() for path in (dataset / "annotations").iterdir()}
    with pytest.raises(DatasetError, match="leaves a split without images; nothing was split"):
        resplit(dataset, percent, 0)
    assert {path: path.read_bytes() for path in (dataset / "annotations").iterdir()} == before


def test_a_picture_in_both_files_cannot_be_split(dataset: Path) -> None:
    write(dataset, "val", read(dataset, "train"))
    with pytest.raises(DatasetError, match="6 images are in another annotation file too"):
        resplit(dataset, 50, 0)


def test_damaged_annotations_are_not_split(dataset: Path) -> None:
    data = read(dataset)
    data["images"][0]["file_name"] = "../x.jpg"
    write(dataset, "train", data)
    with pytest.raises(DatasetError, match="it has to stay inside images/"):
        resplit(dataset, 50, 0)
    assert json.loads(file_of(dataset, "train").read_text()) == data
