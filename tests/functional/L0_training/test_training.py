"""Mode train for real: a detector learns drawn faces, is killed, goes on, and ends up in a server's format."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.dataset import draw_faces_dataset
from tests.training_command import SMALL, command, result_of, run, wait_for, wait_until_gone
from training.config import load_config
from training.detectors import DETECTORS
from training.paths import ROOT
from training.pdparams import read_pdparams
from tritonface_server.export_folder import read_folder

ARRAYS = (".pdparams", ".pdema", ".pdopt")


def arrays_of(checkpoint: Path) -> dict[str, dict[str, np.ndarray]]:
    files = {suffix: checkpoint / f"{checkpoint.name}{suffix}" for suffix in ARRAYS}
    return {suffix: read_pdparams(path) for suffix, path in files.items() if path.exists()}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_faces_dataset(tmp_path_factory.mktemp("data") / "faces")


def test_nothing_to_train_on(tmp_path: Path) -> None:
    done = run("BlazeFace", tmp_path / "output", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/annotations/instance_train.json does not exist")


@pytest.mark.fault("B5")
def test_it_learns(tmp_path: Path, faces: Path) -> None:
    """From random weights, 48 steps: the loss halves, and half of the faces are found well enough for AP50."""
    settings = ["Train.epochs_iters=48", "Train.batch_size=8", "Train.image_size=128", "Train.eval_interval=12"]
    settings += ["Train.learning_rate=0.01", "Train.warmup_steps=5", "Train.schedule=cosine", "Train.ema_decay=0.8"]
    done = run("BlazeFace", tmp_path, faces, *settings, "Train.log_interval=1")
    assert (done.returncode, done.stderr) == (0, "")
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in done.stdout.splitlines() if ", step " in line]
    assert len(losses) == 48
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])

    result = result_of(tmp_path)
    best = result["models"]["best"]
    assert result["done_flag"] is True and best["score"] > 0.05
    for kind, name in {**best, **best["inference"]}.items():
        assert kind in ("score", "epoch", "inference") or (tmp_path / name).is_file(), kind
    assert {path.name for path in (tmp_path / "best_model" / "inference").iterdir()} == {
        *("inference.json", "inference.pdiparams", "inference.yml", "model.onnx")
    }
    assert load_config(tmp_path / "config.yaml").Train.learning_rate == 0.01
    assert "epoch 48/48: AP" in (tmp_path / "train.log").read_text()
    assert list((tmp_path / "tensorboard").iterdir())

    assert read_folder(tmp_path / "best_model" / "inference").input_size_wh == (128, 128)
    for weights in (best["pdparams"], best["inference"]["onnx"]):  # the files hold what was measured
        evaluated = tmp_path / Path(weights).suffix
        settings = [f"Evaluate.weight_path={tmp_path / weights}"]
        assert run("BlazeFace", evaluated, faces, *settings, mode="evaluate").returncode == 0
        assert result_of(evaluated, "evaluate")["image_size"] == {"width": 128, "height": 128}
        assert result_of(evaluated, "evaluate")["AP"] == pytest.approx(best["score"], abs=0.02)
        assert result_of(evaluated, "evaluate")["AP50"] > 0.25


@pytest.mark.parametrize("model", [name for name in DETECTORS if name != "BlazeFace"])
def test_every_detector_trains(tmp_path: Path, faces: Path, model: str) -> None:
    settings = (*SMALL, "Train.epochs_iters=1", "Train.warmup_steps=0", "Train.learning_rate=0.001")
    done = run(model, tmp_path, faces, *settings, "Train.image_sizes=[64,96]")
    assert (done.returncode, done.stderr) == (0, "")
    with_average = load_config(ROOT / f"training/configs/{model}.yaml").Train.ema_decay is not None
    names = {path.name for path in (tmp_path / "best_model").iterdir()}
    suffixes = (".pdparams", ".pdopt", ".pdstates") + ((".pdema",) if with_average else ())
    assert names == {"inference", *(f"best_model{suffix}" for suffix in suffixes)}


@pytest.mark.parametrize("model", ["BlazeFace", "PP-YOLOE_plus-S_face"])
def test_killed_and_resumed(tmp_path: Path, faces: Path, model: str) -> None:
    """A training that is killed ends with the very weights of one that is not; no process of it stays behind."""
    settings = (*SMALL, "Train.epochs_iters=4", "Train.image_sizes=[64,96]", "Train.warmup_steps=2")
    if model.startswith("PP-YOLOE"):
        settings = (*settings, "Train.static_assigner_epochs=2")
    assert run(model, tmp_path / "whole", faces, *settings).returncode == 0

    killed = subprocess.Popen(
        command(model, tmp_path / "killed", faces, *settings), stdout=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(tmp_path / "killed" / "checkpoint" / "epoch_0002")
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    wait_until_gone(killed.pid)
    assert not (tmp_path / "killed" / "train_result.json").exists()

    refused = run(model, tmp_path / "killed", faces, *settings)
    assert refused.returncode == 1 and "holds the checkpoints of another training" in refused.stderr
    resumed = run(model, tmp_path / "killed", faces, *settings, f"Train.resume_path={tmp_path / 'killed'}")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "epoch 1/4" not in resumed.stdout
    whole, again = (arrays_of(tmp_path / name / "checkpoint" / "epoch_0004") for name in ("whole", "killed"))
    assert whole.keys() == again.keys()
    for suffix in whole:
        assert whole[suffix].keys() == again[suffix].keys()
        for name, array in whole[suffix].items():
            np.testing.assert_array_equal(array, again[suffix][name])
    assert result_of(tmp_path / "whole") == result_of(tmp_path / "killed")


def test_going_on_in_another_folder(tmp_path: Path, faces: Path) -> None:
    """It gets a best model of its own; where nothing is left to train, that is said."""
    first, other = tmp_path / "first", tmp_path / "other"
    assert run("BlazeFace", first, faces, *SMALL, "Train.epochs_iters=1").returncode == 0
    resume = f"Train.resume_path={first}"
    refused = run("BlazeFace", other, faces, *SMALL, "Train.epochs_iters=1", resume)
    assert refused.returncode == 1 and "has done 1 epochs and Train.epochs_iters is 1" in refused.stderr
    done = run("BlazeFace", other, faces, *SMALL, "Train.epochs_iters=2", resume)
    assert (done.returncode, done.stderr) == (0, "")
    assert result_of(other)["models"]["best"]["epoch"] == 2
    assert (other / "best_model" / "inference" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("number", "code", "error"), [(signal.SIGTERM, 1, "SystemExit"), (signal.SIGINT, 130, "KeyboardInterrupt")]
)
def test_stopped_by_a_signal(tmp_path: Path, faces: Path, number: int, code: int, error: str) -> None:
    process = subprocess.Popen(
        command("BlazeFace", tmp_path, faces, *SMALL, "Train.epochs_iters=1000"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(tmp_path / "checkpoint" / "epoch_0001")
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    assert process.wait(60) == code
    wait_until_gone(process.pid)
    assert result_of(tmp_path)["err_type"] == error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["Train.learning_rate=1e30", "Train.warmup_steps=0"], "the loss is (nan|inf) at step 2, in epoch 1"),
        pytest.param(
            ["Train.learning_rate=100", "Train.warmup_steps=0"],
            r"the training diverged: the loss is \S+ at step 2, in epoch 1, it began at 2\d\.\d",
            marks=pytest.mark.fault("B30"),
        ),
        (["Global.device=gpu:0"], "Global.device is gpu:0, but the installed Paddle .* runs on CPUs only"),
        (["Train.resume_path=nowhere"], "nowhere is no checkpoint and has none"),
        (["Train.pretrain_weight_path=nowhere.pdparams"], "the weights nowhere.pdparams do not exist"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(tmp_path: Path, faces: Path, settings: list[str], message: str) -> None:
    done = run("BlazeFace", tmp_path, faces, *SMALL, "Train.epochs_iters=2", *settings)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(f"error: {message}", line), line
    assert result_of(tmp_path)["done_flag"] is False
    assert not (tmp_path / "best_model").exists()


def test_two_processes_share_a_training(tmp_path: Path, faces: Path) -> None:
    """What `Global.device=gpu:0,1` starts, on the CPU: both end with the same weights."""
    worker = [sys.executable, "-m", "tests.functional.L0_training.two_processes", str(faces), str(tmp_path)]
    done = subprocess.run(worker, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    sums = [float((tmp_path / f"rank_{rank}").read_text()) for rank in (0, 1)]
    assert sums[0] == sums[1]
    assert "epoch 2/2, step 2/2" in (tmp_path / "train.log").read_text()
