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
from tests.training_command import SMALL, command, result_of, run, wait_for, wait_until_gone, without_paddles_note
from training.config import load_config
from training.paths import ROOT
from training.pdparams import read_pdparams
from tritonface_server.export_folder import read_folder

ARRAYS = (".pdparams", ".pdema", ".pdopt")
FOUR_EPOCHS = (
    *SMALL,
    "Train.epochs_iters=4",
    "Train.image_sizes=[64,96]",
    "Train.warmup_steps=2",
    "Train.ema_decay=0.9",
)


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
    """From random weights, 80 steps: the loss halves, and half of the faces are found well enough for AP50."""
    settings = ["Train.epochs_iters=40", "Train.batch_size=4", "Train.image_size=96", "Train.eval_interval=8"]
    settings += ["Train.save_interval=8"]
    settings += ["Train.learning_rate=0.01", "Train.warmup_steps=5", "Train.schedule=cosine", "Train.ema_decay=0.8"]
    given = command("BlazeFace", tmp_path, faces, *settings, "Train.log_interval=1")
    done = subprocess.run(given, capture_output=True, text=True, timeout=400)
    assert (done.returncode, without_paddles_note(done.stderr)) == (0, "")
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in done.stdout.splitlines() if ", step " in line]
    assert len(losses) == 80
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])

    result = result_of(tmp_path)
    best = result["models"]["best"]
    assert result["done_flag"] is True and best["score"] > 0.05
    assert (result["before"], result["better"]) == (None, None)  # it began with random weights
    assert (result["after"]["epoch"], result["after"]["AP"]) == (best["epoch"], best["score"])
    for kind, name in {**best, **best["inference"]}.items():
        assert kind in ("score", "epoch", "inference") or (tmp_path / name).is_file(), kind
    assert {path.name for path in (tmp_path / "best_model" / "inference").iterdir()} == {
        *("inference.json", "inference.pdiparams", "inference.yml", "model.onnx", "accuracy.json")
    }
    assert load_config(tmp_path / "config.yaml").Train.learning_rate == 0.01
    assert "epoch 40/40: AP" in (tmp_path / "train.log").read_text()
    assert list((tmp_path / "tensorboard").iterdir())

    assert read_folder(tmp_path / "best_model" / "inference").input_size_wh == (96, 96)
    for weights in (best["pdparams"], best["inference"]["onnx"]):  # the files hold what was measured
        evaluated = tmp_path / Path(weights).suffix
        settings = [f"Evaluate.weight_path={tmp_path / weights}"]
        assert run("BlazeFace", evaluated, faces, *settings, mode="evaluate").returncode == 0
        assert result_of(evaluated, "evaluate")["image_size"] == {"width": 96, "height": 96}
        assert result_of(evaluated, "evaluate")["AP"] == pytest.approx(best["score"], abs=0.02)
        assert result_of(evaluated, "evaluate")["AP50"] > 0.25


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """The output of a training of four epochs that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole")
    done = run("BlazeFace", output, faces, *FOUR_EPOCHS)
    assert (done.returncode, done.stderr) == (0, "")
    return output


def test_killed_and_resumed(tmp_path: Path, faces: Path, whole: Path) -> None:
    """A training that is killed ends with the very weights of one that is not; no process of it stays behind."""
    killed = subprocess.Popen(
        command("BlazeFace", tmp_path, faces, *FOUR_EPOCHS), stdout=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(tmp_path / "checkpoint" / "epoch_0002")
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    wait_until_gone(killed.pid)
    assert not (tmp_path / "train_result.json").exists()

    refused = run("BlazeFace", tmp_path, faces, *FOUR_EPOCHS)
    assert refused.returncode == 1 and "holds the checkpoints of another training" in refused.stderr
    resumed = run("BlazeFace", tmp_path, faces, *FOUR_EPOCHS, f"Train.resume_path={tmp_path}")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "epoch 1/4" not in resumed.stdout
    wanted, found = (arrays_of(output / "checkpoint" / "epoch_0004") for output in (whole, tmp_path))
    assert wanted.keys() == found.keys() == set(ARRAYS)
    for suffix in wanted:
        assert wanted[suffix].keys() == found[suffix].keys()
        for name, array in wanted[suffix].items():
            np.testing.assert_array_equal(array, found[suffix][name])
    assert result_of(whole) == result_of(tmp_path)


def test_going_on_in_another_folder(tmp_path: Path, faces: Path, whole: Path) -> None:
    """It gets a best model of its own; where nothing is left to train, that is said."""
    resume = f"Train.resume_path={whole}"
    refused = run("BlazeFace", tmp_path, faces, *FOUR_EPOCHS, resume)
    assert refused.returncode == 1 and "has done 4 epochs and Train.epochs_iters is 4" in refused.stderr
    done = run("BlazeFace", tmp_path, faces, *FOUR_EPOCHS, "Train.epochs_iters=5", resume)
    assert (done.returncode, done.stderr) == (0, "")
    assert result_of(tmp_path)["models"]["best"]["epoch"] == 5
    assert (tmp_path / "best_model" / "inference" / "model.onnx").is_file()


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
