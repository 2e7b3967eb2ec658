from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paddle import nn

from training.detectors import DETECTORS, build_detector, get_detector
from training.paths import official_weights_file, shipped_weights
from training.progress import Progress, write_progress
from training.weight_files import as_trained, begin_with, find_weights, load_weights_of
from training.weights import WeightsError, save_weights

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


HEADS = {
    "BlazeFace": "blaze_head.scores",
    "BlazeFace-FPN-SSH": "blaze_head.scores",
    "PicoDet_LCNet_x2_5_face": "head.head_cls",
    "PP-YOLOE_plus-S_face": "yolo_head.pred_cls.",
}
"""What the names of the tensors begin with that depend on the number of classes."""


def arrays_of(network: nn.Layer) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", DETECTORS)
def test_weights_of_one_class_begin_several(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "training")
    one, two = build_detector(name), build_detector(name, 2)
    given, fresh = arrays_of(one), arrays_of(two)
    save_weights(one, tmp_path / "one.safetensors")
    anew = [key for key in fresh if key.startswith(HEADS[name])]
    expected = given | {key: fresh[key] for key in anew}
    if name.startswith("PicoDet"):  # whose boxes are in the same convolutions
        expected |= {key: np.concatenate([fresh[key][:2], given[key][1:]]) for key in anew}

    begin_with(two, tmp_path / "one.safetensors", replace(get_detector(name), labels=("mask", "no mask")))
    assert f"the head for several begins anew ({', '.join(anew)})" in caplog.text
    for key, array in arrays_of(two).items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)
    with pytest.raises(WeightsError, match=rf"one\.safetensors: the weights do not .*: {len(anew)} mis-shaped"):
        load_weights_of(two, tmp_path / "one.safetensors")  # to evaluate or export


def trained_on(folder: Path, *labels: str) -> Path:
    """The checkpoint of a BlazeFace of these classes."""
    folder.mkdir()
    file = folder / f"{folder.name}.pdparams"
    file.write_bytes(pickle.dumps(arrays_of(build_detector("BlazeFace", len(labels))), protocol=4))
    write_progress(folder, Progress("BlazeFace", "run", 320, labels=list(labels)))
    return file


def begin(file: Path, *labels: str) -> None:
    begin_with(build_detector("BlazeFace", len(labels)), file, replace(get_detector("BlazeFace"), labels=labels))


def test_weights_of_several_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "training")
    file = trained_on(tmp_path / "masks", "mask", "no mask")
    begin(file, "mask", "no mask")
    assert not caplog.messages
    begin(file, "no mask", "mask")
    assert "they learned mask, no mask, now it is no mask, mask" in caplog.text
    for labels in (["face"], ["a", "b", "c"]):
        message = rf"masks\.pdparams tells 2 classes apart \(mask, no mask\), the data set has {len(labels)} "
        with pytest.raises(WeightsError, match=message + rf"\({', '.join(labels)}\); begin with weights of as many"):
            begin(file, *labels)
    file.with_suffix(".pdstates").unlink()  # then their shapes tell
    with pytest.raises(WeightsError, match=r"4 mis-shaped \(blaze_head.scores0.weight \(6, 96, 3, 3\) instead of \(4"):
        begin(file, "face")


def test_weights_of_another_detector_begin_nothing(tmp_path: Path) -> None:
    save_weights(build_detector("BlazeFace-FPN-SSH"), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="the weights do not fit the detector"):
        begin(tmp_path / "other.safetensors", "mask", "no mask")


def test_official_weights_are_downloaded() -> None:
    with pytest.raises(WeightsError, match=r"do not exist; `make official-weights` downloads them"):
        find_weights(official_weights_file("other"))
