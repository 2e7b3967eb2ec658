"""Weights of a training that diverged: refused wherever weights are read, evaluated or exported."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.dataset import draw_faces_dataset
from tests.exported import divides_by_zero
from tests.shipped import network_file
from training.config import load_config
from training.detectors import build_detector
from training.evaluation.detect import DetectError, open_detect
from training.export import run_export
from training.paths import ROOT
from training.weights import WeightsError, save_weights


def write_weights(path: Path, model: str, value: float) -> Path:
    """Fresh weights, one of which, a scale in the middle, is `value`."""
    arrays = {name: tensor.numpy() for name, tensor in build_detector(model).state_dict().items()}
    name = [name for name in arrays if name.endswith(".weight")][len(arrays) // 8]
    arrays[name] = np.full_like(arrays[name], value)
    if path.suffix == ".pdparams":
        paddle.save(arrays, str(path))
    else:
        network = build_detector(model)
        network.set_state_dict(arrays)
        save_weights(network, path)
    return path


@pytest.mark.fault("B15")
@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(tmp_path: Path, suffix: str, value: float) -> None:
    weights = write_weights(tmp_path / f"weights{suffix}", "BlazeFace", value)
    with pytest.raises(WeightsError, match=r"1 not finite \(\S+weight\)"):
        open_detect("BlazeFace", weights=weights)


@pytest.mark.fault("B15")
def test_an_answer_that_is_no_number(tmp_path: Path) -> None:
    """Each weight is a number, the network's answer is none: neither evaluated, in Paddle or as ONNX, nor exported."""
    network = build_detector("BlazeFace")
    arrays = {
        name: np.full_like(value.numpy(), 3e38) for name, value in network.state_dict().items() if "boxes0" in name
    }
    paddle.save(
        {**{name: value.numpy() for name, value in network.state_dict().items()}, **arrays},
        str(tmp_path / "a.pdparams"),
    )
    paths = [f"Global.output={tmp_path / 'output'}", f"Export.weight_path={tmp_path / 'a.pdparams'}"]
    with pytest.raises(WeightsError, match="answer is not finite, as if its training had diverged"):
        run_export(load_config(ROOT / "training/configs/BlazeFace.yaml", paths))
    assert not (tmp_path / "output").exists()
    shutil.copy(network_file(), tmp_path / "a.onnx")
    divides_by_zero(tmp_path / "a.onnx")
    photo = draw_faces_dataset(tmp_path / "faces", count=1) / "images" / "faces_1.png"
    for file in ("a.pdparams", "a.onnx"):
        with pytest.raises(DetectError, match="the network's answer is not finite"):
            open_detect("BlazeFace", weights=tmp_path / file, size_wh=(64, 64))(photo)
