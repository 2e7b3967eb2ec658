"""The command `tritonface` as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from training.paths import ROOT
from tritonface_server.server import TritonServer

COMMAND = [sys.executable, "-m", "tritonface"]


@pytest.fixture
def environment(server: TritonServer) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT / "client"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "TRITONFACE_URL": server.endpoints.grpc, "PYTHONPATH": paths}


@pytest.fixture
def photos(tmp_path: Path, solvay: Path, astronaut: Path) -> Path:
    for name in ("a/same.jpg", "b/same.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        shutil.copy(solvay, tmp_path / "photos" / name)
    shutil.copy(astronaut, tmp_path / "photos" / "one.jpg")
    return tmp_path / "photos"


def tritonface(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120
    )


def test_predict(environment: dict[str, str], photos: Path, tmp_path: Path) -> None:
    run = tritonface(environment, "predict", photos, "--save", tmp_path / "out", "--threshold", 0.7)
    assert run.returncode == 0 and run.stderr == ""
    lines = run.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(photos / n) for n in ("a/same.jpg", "b/same.jpg", "one.jpg")]
    assert lines[0].endswith(" faces") and lines[0].split(": ")[1] == lines[1].split(": ")[1]
    names = [f"{stem}_res.{suffix}" for stem in ("one", "same_2", "same") for suffix in ("jpg", "json")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_json_lines(environment: dict[str, str], photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"bad")
    options = ["--json", "--timings", "--hpi", "--img-size", "320x256", "--batch-size", 2, "--max-side-px", 600]
    run = tritonface(environment, "predict", photos / "one.jpg", photos / "bad.png", photos / "a", *options)
    assert run.returncode == 1, run.stderr
    good, bad, last = map(json.loads, run.stdout.splitlines())
    assert list(good) == ["input_path", "boxes", "timings_ms"] and set(good["timings_ms"]) == {
        "encode",
        "wait",
        "total",
    }
    assert list(bad) == ["input_path", "boxes", "error"] and "not a JPEG" in bad["error"]
    assert last["input_path"].endswith("same.jpg") and last["boxes"]


def test_a_file_name_that_is_no_text(environment: dict[str, str], astronaut: Path, tmp_path: Path) -> None:
    photo = os.fsencode(tmp_path) + b"/\xff.jpg"
    Path(os.fsdecode(photo)).write_bytes(astronaut.read_bytes())
    for options in ([], ["--json", "--save", str(tmp_path / "out")]):
        run = subprocess.run([*COMMAND, "predict", photo, *options], env=environment, capture_output=True, text=True)
        assert run.returncode == 0 and run.stderr == ""
    expected = json.loads(run.stdout)
    (saved,) = (tmp_path / "out").glob("*.json")
    assert json.loads(saved.read_text()) == expected and expected["input_path"] == os.fsdecode(photo)


def test_models(environment: dict[str, str]) -> None:
    run = tritonface(environment, "models")
    assert run.returncode == 0 and "BlazeFace  (cpu)" in run.stdout.splitlines()
    rows = [json.loads(line) for line in tritonface(environment, "models", "--json").stdout.splitlines()]
    assert {"name": "BlazeFace_hpi", "devices": ["cpu"], "labels": ["face"]} in rows


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict"], 2, "the following arguments are required: input"),
        (["predict", "x.jpg", "--threshold", "7"], 2, "threshold must be a number between 0 and 1"),
        (["predict", "x.jpg", "--img-size", "big"], 2, "'big' is neither 640 nor 640x512"),
        (["predict", "x.jpg", "--device", "gpu"], 2, "runs 'PP-YOLOE_plus-S_face' on cpu"),
        (["predict", "x.jpg", "--header", "plain"], 2, "not NAME=VALUE"),
        (["predict", "x.jpg", "--model", "Nope"], 3, "no detector 'Nope'; it has: BlazeFace"),
        (["predict", "x.jpg", "--url", "127.0.0.1:9"], 3, "no Triton server answers gRPC at 127.0.0.1:9"),
        (["models", "--url", "127.0.0.1:9"], 3, "no Triton server answers"),
        (["health", "--url", "127.0.0.1:9", "--wait", "1"], 3, "no Triton server answers"),
        (["health", "--url", "nowhere"], 2, "url is host:port"),
        (["predict", "gone.jpg"], 1, "cannot read 'gone.jpg': No such file or directory"),
        (["predict", "http://127.0.0.1:9/x.jpg"], 1, "is not public"),
        (["predict", "http://127.0.0.1:9/x.jpg", "--no-urls"], 1, "fetching is off"),
    ],
)
def test_what_goes_wrong(environment: dict[str, str], arguments: list[str], code: int, message: str) -> None:
    run = tritonface(environment, *arguments)
    assert run.returncode == code and message in run.stderr and "Traceback" not in run.stderr, run.stderr


def test_settings_from_the_environment(environment: dict[str, str], server: TritonServer) -> None:
    changed = {**environment, "TRITONFACE_PROTOCOL": "http", "TRITONFACE_URL": server.endpoints.http}
    assert tritonface(changed, "health").stdout.startswith("ready: http")
    run = tritonface({**environment, "TRITONFACE_TIMEOUT_S": "soon"}, "health")
    assert run.returncode == 2 and "TRITONFACE_TIMEOUT_S must be a number of seconds" in run.stderr


def test_a_closed_pipe(environment: dict[str, str], solvay: Path) -> None:
    command = [*COMMAND, "predict", "--json", *[str(solvay)] * 40]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["boxes"]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_ctrl_c(environment: dict[str, str], solvay: Path) -> None:
    # A background job of a shell ignores SIGINT. `preexec_fn` would fork this process, of which gRPC has much to say.
    command = ["env", "--default-signal=INT", *COMMAND, "predict", *[str(solvay)] * 1000]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130 and err == b"interrupted\n"


def everything_on(terminal: int) -> bytes:
    """What was written to a terminal that nobody writes to any more."""
    shown = b""
    with suppress(OSError):  # Linux's way to say that the other end is closed
        while data := os.read(terminal, 2**16):
            shown += data
    return shown


def test_a_progress_bar_on_a_terminal(environment: dict[str, str], photos: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "predict", str(photos)], env=environment, stdout=subprocess.PIPE, stderr=theirs
    ) as run:
        os.close(theirs)
        assert len(run.stdout.readlines()) == 3
    shown = everything_on(ours).decode()
    os.close(ours)
    assert [f"] {i}/3" in shown for i in range(4)] == [True] * 4 and shown.endswith("\r\033[K")
