"""Small trainings in this process: what is saved and when, and what their weights are measured against."""

from __future__ import annotations

import gc
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.small_training import checkpoint_names, train, training
from training.coco_dataset import annotation_file
from training.detectors import build_detector
from training.engine.checkpoint import checkpoints, epoch_folder, load_checkpoint
from training.engine.divergence import DivergedError
from training.evaluation.evaluate import EvaluateError
from training.paths import ROOT
from training.pdparams import read_pdparams
from training.progress import accuracy_of, read_progress
from training.weights import load_weights


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    return load_checkpoint(folder, "BlazeFace").weights


def own_validation_picture(dataset: Path) -> Path:
    """A picture that is only evaluated on, not learned from."""
    annotations = json.loads(annotation_file(dataset, "val").read_text())
    picture = dataset / "images" / "val.png"
    shutil.copy(dataset / "images" / annotations["images"][0]["file_name"], picture)
    annotations["images"][0]["file_name"] = picture.name
    annotation_file(dataset, "val").write_text(json.dumps(annotations))
    return picture


@pytest.mark.fault("B13")
@pytest.mark.parametrize("save_interval", [1, 9], ids=["saved", "not due"])
def test_an_evaluation_that_fails_loses_no_epoch(tmp_path: Path, dataset: Path, save_interval: int) -> None:
    settings = ["eval_interval=2", f"save_interval={save_interval}"]
    picture, output = own_validation_picture(dataset), tmp_path / "output"
    running, whole = training(dataset, output, 4, *settings), picture.read_bytes()
    picture.write_bytes(whole[:20])  # after it was checked
    with pytest.raises(EvaluateError, match=r"val\.png"):
        running.run()
    assert checkpoint_names(output)[-1] == "epoch_0002"
    assert read_progress(checkpoints(output)[-1]).ap is None
    picture.write_bytes(whole)
    resumed = train(dataset, output, 4, f"resume_path={output}", *settings)
    uninterrupted = train(dataset, tmp_path / "other", 4, *settings)
    assert resumed.best is not None and uninterrupted.best is not None
    assert (resumed.best.epochs, resumed.best.ap) == (uninterrupted.best.epochs, uninterrupted.best.ap)
    wanted, found = (weights_of(epoch_folder(folder, 4)) for folder in (tmp_path / "other", output))
    for name, array in wanted.items():
        np.testing.assert_array_equal(array, found[name])


SHIPPED = ROOT / "weights" / "BlazeFace.safetensors"


def statistics(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array for name, array in weights.items() if name.endswith(("._mean", "._variance"))}


def test_fine_tuning_is_measured_against_what_it_begins_with(
    tmp_path: Path, dataset: Path, log: pytest.LogCaptureFixture
) -> None:
    """Also by a run that goes on with it, which is not told the weights; both keep the statistics of small batches."""
    output = tmp_path / "output"
    first = train(dataset, output, 1, f"pretrain_weight_path={SHIPPED}", "learning_rate=0.01")
    resumed = train(dataset, output, 2, f"resume_path={output}", "learning_rate=0.01")
    before = first.progress.before
    assert before["epoch"] == 0 and resumed.progress.before == before == resumed.best.before
    assert log.text.count("the weights it begins with: AP") == 1
    network = build_detector("BlazeFace")
    load_weights(network, SHIPPED)
    begun = {name: value.numpy() for name, value in network.state_dict().items()}
    start = read_pdparams(output / "start_model" / "start_model.pdparams")
    assert statistics(begun)
    for name, array in begun.items():
        np.testing.assert_array_equal(start[name], array)
    for name, array in statistics(weights_of(epoch_folder(output, 2))).items():
        np.testing.assert_array_equal(array, begun[name])
    assert accuracy_of(output / "start_model" / "start_model.pdparams")["after"] == before
    words = "better than the weights it began with" if resumed.best.accuracy()["better"] else "NO EPOCH IS BETTER"
    assert words in log.text and words in (output / "train.log").read_text()


def test_what_is_measured_otherwise_is_compared_anew(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path, 1, f"pretrain_weight_path={SHIPPED}")
    resumed = train(dataset, tmp_path, 2, f"resume_path={tmp_path}", "image_size=96")
    assert resumed.progress.before["epoch"] == 1
    assert accuracy_of(tmp_path / "start_model" / "start_model.pdparams")["image_size"] == 96


@pytest.mark.fault("B15")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("ema", ["null", "0.5"])
def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path, dataset: Path, value: float, ema: str) -> None:
    output = tmp_path / "output"
    running = training(dataset, output, 2, f"ema_decay={ema}")
    end_epoch = running._end_epoch

    def damage_and_end(epochs: int, *rest: object) -> None:
        if epochs == 2:
            weight = next(iter(running._weights().values()))
            paddle.assign(paddle.full_like(weight, value), weight)
        end_epoch(epochs, *rest)

    running._end_epoch = damage_and_end
    with pytest.raises(DivergedError, match=r"after epoch 2 1 of \d+ weights are no finite numbers"):
        running.run()
    assert checkpoint_names(output) == ["epoch_0001"]
    assert read_progress(output / "best_model").epochs == 1


@pytest.mark.fault("B28")
def test_an_epoch_leaves_nothing_open(tmp_path: Path, dataset: Path, log: pytest.LogCaptureFixture) -> None:
    """Handles, threads and Python's objects are as many after twelve epochs as after four."""
    running, counts = training(dataset, tmp_path, 12, "num_workers=2"), []
    end_epoch = running._end_epoch

    def end_and_count(epochs: int, *arguments: object) -> None:
        end_epoch(epochs, *arguments)
        if epochs < 4:
            return
        log.clear()
        gc.collect()
        # Paddle 3 itself loses a list of argument names, 100 bytes, with each tensor that is made of an array.
        lists = [
            kept
            for kept in gc.get_objects()
            if type(kept) is list and len(kept) == 6 and type(kept[0]) is str and kept[0] == "value"
        ]
        counts.append(
            (len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), len(gc.get_objects()) - len(lists))
        )

    running._end_epoch = end_and_count
    running.run()
    handles, threads, objects = zip(*counts)
    assert len(counts) == 9
    assert max(handles) == min(handles)
    assert max(threads) == min(threads)
    assert max(objects) - min(objects) < 20
