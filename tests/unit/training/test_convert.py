from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from tests.training_command import without_paddles_note
from training.convert import convert
from training.detectors import build_detector
from training.paths import ROOT
from training.weights import WeightsError, load_weights


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    done.stderr = without_paddles_note(done.stderr)
    return done


def state(name: str = "BlazeFace") -> dict[str, np.ndarray]:
    return {key: parameter.numpy() for key, parameter in build_detector(name).state_dict().items()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_one_line(outcome: subprocess.CompletedProcess[str], words: str) -> None:
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 1
    assert words in outcome.stderr
    assert not outcome.stdout


def test_no_array(tmp_path: Path) -> None:
    (tmp_path / "empty.pdparams").write_bytes(pickle.dumps({}))
    outcome = run("training.convert", "BlazeFace", tmp_path / "empty.pdparams")
    assert_one_line(outcome, "198 missing (backbone.conv1._conv.weight")
    assert names(tmp_path) == ["empty.pdparams"]


def test_what_paddle_saves_is_converted_beside_it_and_never_over_another_file(tmp_path: Path) -> None:
    network = build_detector("BlazeFace")
    paddle.save(network.state_dict(), str(tmp_path / "official.pdparams"))
    outcome = run("training.convert", "BlazeFace", tmp_path / "official.pdparams")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout == f"{tmp_path / 'official.safetensors'}\n"
    again = build_detector("BlazeFace")
    load_weights(again, tmp_path / "official.safetensors")
    for key, parameter in network.state_dict().items():
        np.testing.assert_array_equal(parameter.numpy(), again.state_dict()[key].numpy(), err_msg=key)

    before = (tmp_path / "official.safetensors").read_bytes()
    assert_one_line(run("training.convert", "BlazeFace", tmp_path / "official.pdparams"), "exists already")
    assert (tmp_path / "official.safetensors").read_bytes() == before
    assert run("training.convert", "BlazeFace", tmp_path / "official.pdparams", "--output", tmp_path / "a/b").stdout
    assert (tmp_path / "a/b").read_bytes() == before


def test_every_misfit_is_reported(tmp_path: Path) -> None:
    arrays = state()
    arrays["blaze_head.boxes0.bias"] = np.zeros(7, np.float32)
    arrays["blaze_head.boxes1.bias"] = arrays["blaze_head.boxes1.bias"].astype(np.float64)
    arrays["extra"] = arrays.pop("blaze_head.scores0.bias")
    (tmp_path / "other.pdparams").write_bytes(pickle.dumps(arrays, 2))
    with pytest.raises(WeightsError) as refusal:
        convert("BlazeFace", tmp_path / "other.pdparams", tmp_path / "other.safetensors")
    assert str(refusal.value).endswith(
        "1 missing (blaze_head.scores0.bias); 1 unexpected (extra); "
        "1 mis-shaped (blaze_head.boxes0.bias (7,) instead of (8,)); "
        "1 mis-typed (blaze_head.boxes1.bias float64 instead of float32)"
    )


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    arrays = state()
    arrays["blaze_head.boxes0.bias"][0] = np.nan
    (tmp_path / "nan.pdparams").write_bytes(pickle.dumps(arrays, 2))
    with pytest.raises(WeightsError, match=r"1 not finite \(blaze_head.boxes0.bias\)"):
        convert("BlazeFace", tmp_path / "nan.pdparams", tmp_path / "nan.safetensors")
    assert names(tmp_path) == ["nan.pdparams"]


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (os.environ["MARKER"],)


def test_a_hostile_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKER", str(tmp_path / "marker"))
    (tmp_path / "hostile.pdparams").write_bytes(pickle.dumps({"a": Hostile()}))
    with pytest.raises(WeightsError, match=r"it asks for 'posix\.mkdir'"):
        convert("BlazeFace", tmp_path / "hostile.pdparams", tmp_path / "hostile.safetensors")
    assert not (tmp_path / "marker").exists()
