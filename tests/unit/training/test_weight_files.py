from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.detectors import build_detector, get_detector
from training.paths import official_weights_file, shipped_weights
from training.progress import Progress, write_progress
from training.weight_files import as_trained, find_weights, load_weights_of
from training.weights import WeightsError

SHIPPED = shipped_weights("BlazeFace")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no best_model/best_model\.pdparams, as a training writes it"):
        find_weights(tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="do not exist"):
        find_weights(tmp_path / "best_model.pdparams")


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "weights.zip").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"of another kind; expected \.pdparams or \.safetensors"):
        find_weights(tmp_path / "weights.zip")


@pytest.mark.parametrize("name", ["best_model/best_model.pdparams", "best_model.pdparams", "best_model.safetensors"])
def test_the_folder_of_a_training(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    assert find_weights(tmp_path) == tmp_path / name


def test_both_kinds_load_the_same(tmp_path: Path) -> None:
    first, second = build_detector("BlazeFace"), build_detector("BlazeFace")
    assert load_weights_of(first, SHIPPED) == SHIPPED
    arrays = {name: parameter.numpy() for name, parameter in first.state_dict().items()}
    (tmp_path / "best_model.pdparams").write_bytes(pickle.dumps(arrays, protocol=4))
    assert load_weights_of(second, tmp_path) == tmp_path / "best_model.pdparams"
    for name, parameter in second.state_dict().items():
        np.testing.assert_array_equal(parameter.numpy(), arrays[name], err_msg=name)


def test_weights_of_another_detector(tmp_path: Path) -> None:
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps({"a": np.zeros(1, np.float32)}, protocol=4))
    with pytest.raises(WeightsError, match=r"w\.pdparams: the weights do not fit the detector: 198 missing"):
        load_weights_of(build_detector("BlazeFace"), tmp_path / "w.pdparams")


@pytest.mark.fault("B5")
@pytest.mark.fault("B6")
@pytest.mark.parametrize("name", ["best_model.pdparams", "best_model.safetensors"])
def test_size_and_labels_are_those_of_the_training_beside_which_weights_lie(tmp_path: Path, name: str) -> None:
    detector = get_detector("BlazeFace")
    assert as_trained(detector, tmp_path / name) == detector
    folder = tmp_path / "best_model"
    folder.mkdir()
    write_progress(folder, Progress("BlazeFace", "run", 320, labels=["mask"]))
    trained = as_trained(detector, folder / name)
    assert (trained.input_size_wh, trained.labels) == ((320, 320), ("mask",))
    assert replace(trained, input_size_wh=detector.input_size_wh, labels=detector.labels) == detector


def test_official_weights_are_downloaded() -> None:
    with pytest.raises(WeightsError, match=r"do not exist; `make official-weights` downloads them"):
        find_weights(official_weights_file("other"))
