from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from ctypes import c_int64
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from tests.training_command import FORKS
from training.engine.checkpoint import (
    Checkpoint,
    checkpoints,
    epoch_folder,
    find_checkpoints,
    load_checkpoint,
    prune,
    save_checkpoint,
)
from training.progress import CheckpointError, Progress, read_progress, write_progress
from training.replace_folder import recover_folder, replace_folder

PROGRESS = Progress(
    "BlazeFace", "run", 320, epochs=3, steps=30, ap=0.25, first_loss=20.5, average_updates=7, settings={"seed": 1}
)
CHECKPOINT = Checkpoint({"a.weight": np.ones((2, 3), np.float32)}, None, {"a.weight/velocity_0": np.zeros(2)}, PROGRESS)


def test_an_output_without_checkpoints(tmp_path: Path) -> None:
    assert checkpoints(tmp_path) == []
    with pytest.raises(CheckpointError, match="is no checkpoint and has none in checkpoint/"):
        find_checkpoints(tmp_path)


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
    assert find_checkpoints(tmp_path)[0].name == "epoch_0100"
    prune(tmp_path, 100)
    assert [path.name for path in checkpoints(tmp_path)] == ["epoch_0010", "epoch_0100"]
    for named in ("epoch_0010", "epoch_0010/epoch_0010.pdparams"):
        assert [path.name for path in find_checkpoints(tmp_path / "checkpoint" / named)] == ["epoch_0010"]
    save_checkpoint(tmp_path / "best_model", CHECKPOINT)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["epoch_0100", "epoch_0010", "best_model"]


@pytest.mark.fault("B16")
@pytest.mark.parametrize(
    ("reached", "kept"), [(100, [10, 100]), (99, [9, 10]), (10, [9, 10]), (2, [2]), (1, [])], ids=str
)
def test_later_checkpoints_are_given_up(tmp_path: Path, reached: int, kept: list[int]) -> None:
    for epochs in (2, 9, 10, 100):
        epoch_folder(tmp_path, epochs).mkdir(parents=True)
    prune(tmp_path, reached)
    assert checkpoints(tmp_path) == [epoch_folder(tmp_path, epochs) for epochs in kept]


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


def write_for_ever(folder: Path, written: c_int64) -> None:
    """Save one checkpoint after another, all numbers of which are how many there were; note each."""
    for epochs in itertools.count(1):
        arrays = {f"{i}": np.full(1000, epochs, np.float32) for i in range(50)}
        save_checkpoint(folder, Checkpoint(arrays, None, arrays, Progress("BlazeFace", "run", 320, epochs)))
        written.value = epochs


@pytest.fixture
def start_writer(tmp_path: Path) -> Iterator[Callable[[], tuple[BaseProcess, c_int64]]]:
    """Starts processes that write `best_model`, and waits for its first checkpoint."""
    writers = []

    def start() -> tuple[BaseProcess, c_int64]:
        written = FORKS.RawValue(c_int64, 0)  # without a lock, which a killed process would keep
        writers.append(FORKS.Process(target=write_for_ever, args=(tmp_path / "best_model", written)))
        writers[-1].start()
        while not written.value:
            assert writers[-1].is_alive()
            time.sleep(0.001)
        return writers[-1], written

    yield start
    for writer in writers:
        writer.kill()
        writer.join()


@pytest.mark.fault("B21")
def test_a_writer_killed_at_any_moment_leaves_one_whole_checkpoint(tmp_path: Path, start_writer: Callable) -> None:
    """Nothing has to be recovered, so that evaluate, export and publish find it too."""
    for attempt in range(5):
        writer, written = start_writer()
        time.sleep(0.05 + 0.007 * attempt)
        writer.kill()
        writer.join()
        loaded = load_checkpoint(tmp_path / "best_model", "BlazeFace")
        assert loaded.progress.epochs >= written.value
        for arrays in (loaded.weights, loaded.optimiser):
            assert len(arrays) == 50
            assert {value for array in arrays.values() for value in array.tolist()} == {float(loaded.progress.epochs)}


@pytest.mark.fault("B21")
def test_a_folder_is_there_at_every_moment_of_its_replacement(tmp_path: Path, start_writer: Callable) -> None:
    """A reader that looks all the time never misses it, without recovering anything."""
    _, written = start_writer()
    end_s = time.monotonic() + 2
    while time.monotonic() < end_s:
        assert (tmp_path / "best_model" / "best_model.pdparams").exists()
    assert written.value > 10


def test_another_model(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "epoch_0003", CHECKPOINT)
    with pytest.raises(CheckpointError, match=r"is a training of BlazeFace, not of BlazeFace-FPN-SSH"):
        load_checkpoint(tmp_path / "epoch_0003", "BlazeFace-FPN-SSH")


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".pdstates", b"{}", "does not say how far the training is"),
        (".pdstates", b"[]", "does not say how far the training is"),
        (".pdopt", b"", "epoch_0003.pdopt is damaged"),
        (".pdparams", b"cos\nsystem\n(S'true'\ntR.", "epoch_0003.pdparams is damaged"),
    ],
)
def test_other_files(tmp_path: Path, suffix: str, content: bytes, message: str) -> None:
    save_checkpoint(tmp_path / "epoch_0003", CHECKPOINT)
    (tmp_path / "epoch_0003" / f"epoch_0003{suffix}").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "epoch_0003", "BlazeFace")


def test_a_hostile_file_with_the_right_checksum(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "epoch_0003", CHECKPOINT)
    (tmp_path / "epoch_0003" / "epoch_0003.pdparams").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    write_progress(tmp_path / "epoch_0003", PROGRESS)
    with pytest.raises(CheckpointError, match=r"cannot go on from .*is refused"):
        load_checkpoint(tmp_path / "epoch_0003", "BlazeFace")


@pytest.mark.fault("B20")
@pytest.mark.parametrize("suffix", [".pdparams", ".pdema", ".pdopt", ".pdstates"])
def test_every_flipped_bit_is_noticed(tmp_path: Path, suffix: str) -> None:
    moving = {"a.weight": np.full((2, 3), 4, np.float32)}
    save_checkpoint(tmp_path / "epoch_0003", replace(CHECKPOINT, moving=moving))
    path = tmp_path / "epoch_0003" / f"epoch_0003{suffix}"
    whole = path.read_bytes()
    space = [place for place, byte in enumerate(whole) if suffix == ".pdstates" and byte in b" \n"]
    for place in range(0, len(whole), 7):
        if place in space:
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match=r"damaged|does not say how far"):
            load_checkpoint(tmp_path / "epoch_0003", "BlazeFace")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"lacks its|does not say how far"):
        load_checkpoint(tmp_path / "epoch_0003", "BlazeFace")


def test_progress_is_renewed_in_place(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "epoch_0003", CHECKPOINT)
    write_progress(tmp_path / "epoch_0003", replace(PROGRESS, ap=0.75))
    assert read_progress(tmp_path / "epoch_0003").ap == 0.75
    assert load_checkpoint(tmp_path / "epoch_0003", "BlazeFace").progress.ap == 0.75
    assert len(list((tmp_path / "epoch_0003").iterdir())) == 3
