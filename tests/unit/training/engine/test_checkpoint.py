from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.engine.checkpoint import (
    Checkpoint,
    CheckpointError,
    Progress,
    checkpoints,
    epoch_folder,
    find_checkpoint,
    load_checkpoint,
    prune,
    recover_folder,
    replace_folder,
    save_checkpoint,
)

PROGRESS = Progress("BlazeFace", epochs=3, steps=30, ap=0.25, best_ap=0.5, best_epoch=2, average_updates=7)
CHECKPOINT = Checkpoint({"a.weight": np.ones((2, 3), np.float32)}, None, {"a.weight/velocity_0": np.zeros(2)}, PROGRESS)


def test_an_output_without_checkpoints(tmp_path: Path) -> None:
    assert checkpoints(tmp_path) == []
    with pytest.raises(CheckpointError, match="is no checkpoint and has none in checkpoint/"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize("moving", [None, {"a.weight": np.full((2, 3), 4, np.float32)}])
def test_what_is_saved_is_loaded(tmp_path: Path, moving: dict[str, np.ndarray] | None) -> None:
    folder = epoch_folder(tmp_path, 3)
    save_checkpoint(folder, replace(CHECKPOINT, moving=moving))
    loaded = load_checkpoint(folder, "BlazeFace")
    assert loaded.progress == PROGRESS
    np.testing.assert_array_equal(loaded.weights["a.weight"], CHECKPOINT.weights["a.weight"])
    np.testing.assert_array_equal(loaded.optimiser["a.weight/velocity_0"], [0, 0])
    assert (loaded.moving is None) == (moving is None)
    suffixes = {path.suffix for path in folder.iterdir()}
    assert suffixes == {".pdparams", ".pdopt", ".pdstates"} | ({".pdema"} if moving else set())


def test_saving_again_replaces(tmp_path: Path) -> None:
    for epochs in (1, 2):
        save_checkpoint(tmp_path / "best_model", replace(CHECKPOINT, progress=replace(PROGRESS, epochs=epochs)))
    assert load_checkpoint(tmp_path / "best_model", "BlazeFace").progress.epochs == 2
    assert [path.name for path in tmp_path.iterdir()] == ["best_model"]


def test_the_newest_checkpoints_are_kept_and_found(tmp_path: Path) -> None:
    for epochs in (2, 9, 10, 100):
        save_checkpoint(epoch_folder(tmp_path, epochs), CHECKPOINT)
    (tmp_path / "checkpoint" / ".epoch_0101.part").mkdir()  # as a kill leaves it
    assert find_checkpoint(tmp_path).name == "epoch_0100"
    prune(tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["epoch_0010", "epoch_0100"]
    assert find_checkpoint(tmp_path / "checkpoint" / "epoch_0010").name == "epoch_0010"
    assert find_checkpoint(tmp_path / "checkpoint" / "epoch_0010" / "epoch_0010.pdparams").name == "epoch_0010"


def test_a_replacement_cut_short_is_recovered(tmp_path: Path) -> None:
    folder = tmp_path / "best_model"
    folder.mkdir()
    (folder / "old").touch()
    folder.rename(tmp_path / ".best_model.old")  # where a kill between the two renames leaves it
    recover_folder(folder)
    assert (folder / "old").exists()
    (tmp_path / "new").mkdir()
    replace_folder(tmp_path / "new", folder)
    recover_folder(folder)
    assert list(folder.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["best_model"]


WRITER = """
import sys, numpy as np
from pathlib import Path
from dataclasses import replace
from training.engine.checkpoint import *
for epochs in range(1, 100000):
    arrays = {f"{i}": np.full(1000, epochs, np.float32) for i in range(50)}
    save_checkpoint(Path(sys.argv[1]) / "best_model", Checkpoint(arrays, None, arrays, Progress("BlazeFace", epochs)))
    print(epochs, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_one_whole_checkpoint(tmp_path: Path) -> None:
    for attempt in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        written = int(writer.stdout.readline())
        time.sleep(0.05 + 0.007 * attempt)
        writer.kill()
        written = max([written, *map(int, writer.communicate()[0].split())])
        recover_folder(tmp_path / "best_model")
        loaded = load_checkpoint(tmp_path / "best_model", "BlazeFace")
        assert loaded.progress.epochs >= written
        for arrays in (loaded.weights, loaded.optimiser):
            assert len(arrays) == 50
            assert {value for array in arrays.values() for value in array.tolist()} == {float(loaded.progress.epochs)}


def test_another_model(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "epoch_0003", CHECKPOINT)
    with pytest.raises(CheckpointError, match=r"is a training of BlazeFace, not of BlazeFace-FPN-SSH"):
        load_checkpoint(tmp_path / "epoch_0003", "BlazeFace-FPN-SSH")


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".pdstates", b"{}", "does not say how far the training is"),
        (".pdopt", b"\x80\x04", "cannot go on from .*damaged or not a .pdparams file"),
        (".pdparams", b"cos\nsystem\n(S'true'\ntR.", "cannot go on from .*is refused"),
    ],
)
def test_damaged_files(tmp_path: Path, suffix: str, content: bytes, message: str) -> None:
    save_checkpoint(tmp_path / "epoch_0003", CHECKPOINT)
    (tmp_path / "epoch_0003" / f"epoch_0003{suffix}").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "epoch_0003", "BlazeFace")
