"""Mode train on a machine that fails it: full disks, little shared memory, signals, and a second training."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dataset import draw_dataset, draw_faces_dataset
from tests.small_training import train
from tests.training_command import SMALL, command, result_of, run, wait_for, wait_until_gone, without_paddles_note
from training.engine.checkpoint import checkpoints, load_checkpoint

LITTLE_SHARED_MEMORY = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"', "sh"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_faces_dataset(tmp_path_factory.mktemp("data") / "faces")


@pytest.fixture
def endless(tmp_path: Path, faces: Path) -> Iterator[subprocess.Popen[str]]:
    """A training of a thousand epochs that has begun its second one."""
    arguments = command("BlazeFace", tmp_path, faces, *SMALL, "Train.epochs_iters=1000", "Train.eval_interval=900")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            wait_for(tmp_path / "checkpoint" / "epoch_0001")
            yield process
        finally:
            process.kill()


@pytest.mark.fault("B14")
def test_a_full_disk_ends_the_log_and_then_the_training(
    tmp_path: Path, faces: Path, endless: subprocess.Popen[str]
) -> None:
    """No file may grow any more, which fails as a full disk does."""
    resource.prlimit(endless.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    out, err = endless.communicate(timeout=60)
    assert endless.returncode == 1
    (line,) = without_paddles_note(err).splitlines()
    assert line.startswith(f"error: cannot save {tmp_path}/checkpoint/epoch_"), line
    assert "File too large; what was saved before is whole" in line and "Traceback" not in out
    newest = checkpoints(tmp_path)[-1]
    assert load_checkpoint(newest, "BlazeFace").progress.epochs == int(newest.name[-4:])
    assert not list((tmp_path / "checkpoint").glob(".*"))
    epochs = int(newest.name[-4:]) + 1
    assert train(faces, tmp_path, epochs, f"resume_path={tmp_path}").progress.epochs == epochs


@pytest.mark.fault("B14")
def test_a_disk_without_room_for_the_log(tmp_path: Path, faces: Path) -> None:
    """Every write into it fails; the training says so once and goes on."""
    (tmp_path / "train.log").symlink_to("/dev/full")
    done = run("BlazeFace", tmp_path, faces, *SMALL, "Train.epochs_iters=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("train.log ends here, the training goes on: [Errno 28] No space left on device") == 1


@pytest.mark.fault("B18")
def test_a_second_training_in_the_same_output(tmp_path: Path, faces: Path, endless: subprocess.Popen[str]) -> None:
    before = (tmp_path / "config.yaml").read_bytes()
    for resume in ([], [f"Train.resume_path={tmp_path}"]):
        second = run("BlazeFace", tmp_path, faces, *SMALL, *resume)
        assert second.returncode == 1
        assert second.stderr.startswith(f"error: another training writes into {tmp_path}; wait until it has ended")
    assert not (tmp_path / "train_result.json").exists()
    assert (tmp_path / "config.yaml").read_bytes() == before
    assert endless.poll() is None


@pytest.mark.fault("B27")
def test_a_killed_group_leaves_no_shared_memory(endless: subprocess.Popen[str]) -> None:
    mapped = Path(f"/proc/{endless.pid}/maps").read_text().splitlines()
    assert not [line for line in mapped if "/dev/shm/" in line and not line.endswith("(deleted)")]
    os.killpg(endless.pid, signal.SIGKILL)
    endless.wait()
    wait_until_gone(endless.pid)


@pytest.mark.fault("B25")
@pytest.mark.skipif(
    subprocess.run([*LITTLE_SHARED_MEMORY, "true"], capture_output=True).returncode != 0,
    reason="this user may not mount",
)
def test_shared_memory_too_small_for_one_picture(tmp_path: Path, faces: Path) -> None:
    settings = (*SMALL, "Train.epochs_iters=1", "Train.steps_per_epoch=1", "Train.image_size=160")
    arguments = [*LITTLE_SHARED_MEMORY, *command("BlazeFace", tmp_path, faces, *settings)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=400)
    assert (done.returncode, without_paddles_note(done.stderr)) == (0, "")
    assert result_of(tmp_path)["done_flag"] is True


@pytest.mark.fault("B27")
@pytest.mark.parametrize("mode, threads", [("train", "1"), ("train", "2"), ("evaluate", "2"), ("export", "2")])
def test_a_signal_while_paddle_is_imported(tmp_path: Path, faces: Path, mode: str, threads: str) -> None:
    """Also where numpy has threads: a signal goes to whichever takes it."""
    process = subprocess.Popen(
        command("BlazeFace", tmp_path, faces, *SMALL, mode=mode),
        env={**os.environ, "OMP_NUM_THREADS": threads},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end_s = time.monotonic() + 60
    while "libpaddle" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert time.monotonic() < end_s
        time.sleep(0.002)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, without_paddles_note(err)) == (1, "error: terminated by SIGTERM\n")
    assert result_of(tmp_path, mode)["err_type"] == "SystemExit"


@pytest.mark.fault("B26")
def test_more_memory_than_there_is(tmp_path: Path) -> None:
    dataset = draw_dataset(tmp_path / "data", train=600)
    settings = ("Train.batch_size=600", "Train.image_sizes=[2048]", "Train.epochs_iters=1")
    done = run("PicoDet_LCNet_x2_5_face", tmp_path / "output", dataset, *settings)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: a step of 600 pictures of 2048x2048 px needs about ") and "set Train." in line
