from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from training.detectors import DETECTORS, build_detector
from training.paths import ROOT
from training.weights import WeightsError, load_weights, save_weights, set_weights


def test_no_tensors() -> None:
    with pytest.raises(WeightsError, match=r"198 missing \(backbone.conv1._conv.weight"):
        set_weights(build_detector("BlazeFace"), {})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read weights from"):
        load_weights(build_detector("BlazeFace"), tmp_path / "none.safetensors")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.")
    with pytest.raises(WeightsError, match="cannot read weights from"):
        load_weights(build_detector("BlazeFace"), path)


def test_other_names_and_shapes_are_reported() -> None:
    detector = build_detector("BlazeFace")
    tensors = {name: parameter.numpy() for name, parameter in detector.state_dict().items()}
    tensors["blaze_head.boxes0.bias"] = np.zeros(7, np.float32)
    tensors["head.extra"] = np.zeros(1, np.float32)
    with pytest.raises(
        WeightsError, match=r"1 unexpected \(head.extra\); 1 mis-shaped \(blaze_head.boxes0.bias \(7,\)"
    ):
        set_weights(detector, tensors)


def test_a_round_trip_changes_nothing(tmp_path: Path) -> None:
    first, second = build_detector("BlazeFace"), build_detector("BlazeFace")
    save_weights(first, tmp_path / "weights.safetensors")
    load_weights(second, tmp_path / "weights.safetensors")
    for name, parameter in first.state_dict().items():
        np.testing.assert_array_equal(parameter.numpy(), second.state_dict()[name].numpy(), err_msg=name)


def test_matrices_in_half_precision_are_widened(tmp_path: Path) -> None:
    first, second = build_detector("BlazeFace"), build_detector("BlazeFace")
    values = {name: parameter.numpy() for name, parameter in first.state_dict().items()}
    halved = {name: value.astype(np.float16) if value.ndim > 1 else value for name, value in values.items()}
    save_file(halved, tmp_path / "weights.safetensors")
    load_weights(second, tmp_path / "weights.safetensors")
    for name, parameter in second.state_dict().items():
        assert parameter.dtype == paddle.float32
        np.testing.assert_array_equal(parameter.numpy(), halved[name].astype(np.float32), err_msg=name)


@pytest.mark.parametrize("dtype", [np.float64, np.int8])
def test_other_types_are_refused(tmp_path: Path, dtype: type) -> None:
    network = build_detector("BlazeFace")
    tensors = {name: parameter.numpy() for name, parameter in network.state_dict().items()}
    save_file({**tensors, "blaze_head.boxes0.bias": np.zeros(8, dtype)}, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=f"1 mis-typed .blaze_head.boxes0.bias {dtype.__name__} instead of float32"):
        load_weights(network, tmp_path / "weights.safetensors")


def test_every_detector_of_the_table_can_be_built() -> None:
    for name in DETECTORS:
        assert build_detector(name).state_dict()
    with pytest.raises(ValueError, match="unknown detector 'Nope'; known are: BlazeFace"):
        build_detector("Nope")


def test_every_weights_file_fits_its_detector_and_has_a_card() -> None:
    paths = sorted((ROOT / "weights").glob("*.safetensors"))
    assert paths
    for path in paths:
        load_weights(build_detector(path.stem), path)
        assert path.with_suffix(".md").is_file()
