"""Publishing an exported folder: into a running server, beside others, and undone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openvino
import pytest
import yaml

from tests.conftest import PHOTOS
from tests.exported import make_export, write_settings
from tests.functional.L0_publish.conftest import ACCURACY, everything_in
from tests.launched import KEY, Launched, launched
from tests.reference import InProcess
from tests.shipped import copy_one_detector, shipped
from training.quantise import quantise
from tritonface import ModelNotFoundError, ServerUnavailableError, create_model
from tritonface_server.access import Access
from tritonface_server.cli import accuracy_line
from tritonface_server.control import Control
from tritonface_server.endpoints import Endpoints
from tritonface_server.exchange import beside
from tritonface_server.images import decode_image, resize
from tritonface_server.model_names import model_names
from tritonface_server.publish import PublishError, publish, published, receipt_of, undo
from tritonface_server.server import TritonServer, undrained


@pytest.fixture
def watching(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where it is found by whoever publishes
    copy_one_detector(repository)
    with launched(tmp_path, "--watch", repository=repository) as launcher:
        yield launcher


def test_nothing_is_published_at_first(repository: Path) -> None:
    assert published(repository) == []
    with pytest.raises(PublishError, match=r"'mine' was not published in .*; published are: nothing"):
        undo("mine", repository)


def test_into_a_running_server_and_back(watching: Launched, repository: Path, folder: Path, solvay: Path) -> None:
    before = everything_in(repository)
    publish(folder, "mine", repository)
    assert published(repository) == ["mine"]
    url = watching.endpoints.grpc
    with create_model("mine", url=url) as model:  # at once: publishing waits for the server
        (result,) = model.predict(solvay)
    expected = InProcess(shipped())(solvay.read_bytes(), 0.7, size_wh=(640, 320))
    assert [box["score"] for box in result["boxes"]] == pytest.approx([row[0] for row in expected], abs=1e-5)
    assert {box["label"] for box in result["boxes"]} == {"person"}
    with create_model("BlazeFace", url=url) as model:
        assert next(model.predict(solvay))["boxes"]

    write_settings(folder, label_list=["mask"])
    publish(folder, "mine", repository)
    with create_model("mine", url=url) as model:
        assert {box["label"] for box in next(model.predict(solvay))["boxes"]} == {"mask"}
    assert undo("mine", repository)
    with create_model("mine", url=url) as model:
        assert {box["label"] for box in next(model.predict(solvay))["boxes"]} == {"person"}
    assert not undo("mine", repository)
    assert everything_in(repository) == before
    with pytest.raises(ModelNotFoundError):
        eventually(lambda: create_model("mine", url=url).close(), until_it_fails=True)


@pytest.mark.fault("C21")
def test_what_the_running_server_cannot_load_is_taken_back(
    watching: Launched, repository: Path, folder: Path, tmp_path: Path, solvay: Path
) -> None:
    (own,) = (tmp_path / "cache" / "tritonface").iterdir()
    shutil.rmtree(own / "onnxruntime")  # as a cleaner might
    before = everything_in(repository)
    with pytest.raises(PublishError, match=r"the running server cannot load it, so it was taken back: mine"):
        publish(folder, "mine", repository)
    assert everything_in(repository) == before and published(repository) == []
    watching.wait_for("unloaded: 640x320_cubic_preprocess, mine")
    with create_model("BlazeFace", url=watching.endpoints.grpc) as model:
        assert next(model.predict(solvay))["boxes"]
    deadline = time.monotonic() + 10
    while watching.status("v2/health/ready") != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    control = Control(watching.endpoints.http, Access(KEY).headers)
    assert watching.status("v2/health/ready") == 200, control.states()


def test_a_quantised_network_serves_the_high_performance_variant(
    repository: Path, folder: Path, tmp_path: Path, solvay: Path
) -> None:
    pictures = [resize(decode_image(path.read_bytes()), (640, 320), "cubic") for path in sorted(PHOTOS.glob("*.jpg"))]
    original = openvino.Core().read_model(folder / "model.onnx")
    openvino.save_model(quantise(original, pictures, keep_in_float=[]), folder / "model.xml")
    publish(folder, "mine", repository)
    assert (repository / "mine_hpi_detector" / "1" / "model.bin").is_file()
    with (
        undrained(TritonServer(repository, Endpoints.free(), log=tmp_path / "log", cpus=1)) as server,
        create_model("mine", use_hpip=True, url=server.endpoints.grpc) as model,
    ):
        (result,) = model.predict(solvay)
    expected = InProcess(shipped())(solvay.read_bytes(), 0.7, size_wh=(640, 320))
    assert abs(len(result["boxes"]) - len(expected)) <= 4


@pytest.mark.parametrize(
    ("accuracy", "line"),
    [
        (None, "how good it is, nothing says: no training has measured it"),
        ({"after": "good"}, "how good it is, nothing says: no training has measured it"),
        ({"after": {"AP": 0.25}, "before": None}, "AP 0.2500 on the validation pictures of its training"),
        ({"after": {"AP": 0.25}, "before": {"AP": "?"}, "better": True}, "AP 0.2500 on .*, unknown before it"),
        (ACCURACY, "AP 0.2500 on the validation pictures of its training, NOT BETTER than the 0.5000 before it"),
    ],
)
def test_what_publishing_prints_of_it(accuracy: dict[str, Any] | None, line: str) -> None:
    assert re.fullmatch(line, accuracy_line(accuracy))


def test_undo_brings_back_what_was_there(mine: Path, folder: Path) -> None:
    """And the receipt, which says how good it is; what no training has measured does not inherit that."""
    first = (mine / "mine_postprocess" / "config.pbtxt").read_text()
    assert receipt_of("mine", mine)["accuracy"].items() >= ACCURACY.items()
    write_settings(folder, label_list=["mask"])
    publish(folder, "mine", mine)
    assert "mask" in (mine / "mine" / "config.pbtxt").read_text()
    assert receipt_of("mine", mine)["accuracy"] is None
    assert undo("mine", mine)
    assert "mask" not in (mine / "mine" / "config.pbtxt").read_text()
    assert receipt_of("mine", mine)["accuracy"]["better"] is False
    assert (mine / "mine_postprocess" / "config.pbtxt").read_text() == first
    assert not undo("mine", mine)
    assert everything_in(mine) == []


def test_what_several_share_comes_with_the_first_and_goes_with_the_last(mine: Path, folder: Path) -> None:
    """What decodes: `mine` sees 640x320 px at first."""

    def shared() -> dict[str, float]:
        return {path.name: (path / "config.pbtxt").stat().st_mtime for path in mine.glob("*_preprocess")}

    assert [*shared()] == ["640x320_cubic_preprocess"]
    write_settings(folder, Preprocess=[{"type": "Resize", "target_size": [640, 640], "interp": 2, "keep_ratio": False}])
    assert "640x640_cubic_preprocess" in publish(folder, "mine", mine)
    before = shared()
    assert [*before] == ["640x640_cubic_preprocess"]
    assert "640x640_cubic_preprocess" not in publish(folder, "other", mine)
    assert shared() == before
    (kept,) = (beside(mine) / "earlier" / "mine").glob("*/640x320_cubic_preprocess")
    shutil.rmtree(kept)  # as if it had stayed here for another detector, and gone with that
    assert undo("mine", mine)
    assert {*shared()} == {"640x320_cubic_preprocess", *before} and before.items() <= shared().items()
    assert not undo("other", mine)
    assert [*shared()] == ["640x320_cubic_preprocess"]
    assert not undo("mine", mine)
    assert everything_in(mine) == []


@pytest.mark.fault("B8")
def test_two_at_once_take_turns(repository: Path, tmp_path: Path) -> None:
    folders = [make_export(tmp_path / label) for label in ("first", "second")]
    for folder in folders:
        write_settings(folder, label_list=[folder.name])
    command = [sys.executable, "-m", "tritonface_server", "publish", "add", "--model-repository", repository]
    adding = [subprocess.Popen([*command, folder, "mine"], stdout=subprocess.PIPE) for folder in folders]
    assert [process.communicate() and process.returncode for process in adding] == [0, 0]
    labels = [served_label(repository)]
    assert undo("mine", repository)
    labels.append(served_label(repository))
    assert sorted(labels) == ["first", "second"]
    assert not undo("mine", repository)


def served_label(repository: Path) -> str:
    """The label of `mine`, which its models and its receipt agree on."""
    (label,) = yaml.safe_load((repository / "mine_detector" / "1" / "inference.yml").read_text())["label_list"]
    receipt = json.loads((repository / "mine" / "published.json").read_text())
    assert f'[\\"{label}\\"]' in (repository / "mine_hpi" / "config.pbtxt").read_text()
    assert Path(receipt["source"]).name == label
    return label


@pytest.mark.fault("B23")
def test_a_training_may_replace_what_is_published(repository: Path, tmp_path: Path) -> None:
    """Two networks take turns as `best`, as when a training saves a better one."""
    best, away = tmp_path / "best", [make_export(tmp_path / label) for label in ("first", "second")]
    for folder in away:
        write_settings(folder, label_list=[folder.name])
        (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + unknown_field(folder.name))
    networks = {hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(): folder.name for folder in away}
    stop = threading.Event()

    def train() -> None:
        while not stop.is_set():
            for folder in away:
                folder.rename(best)
                time.sleep(0.001)
                best.rename(folder)

    training = threading.Thread(target=train)
    training.start()
    try:
        publish(best, "mine", repository)
    finally:
        stop.set()
        training.join()
    served = hashlib.sha256((repository / "mine_detector" / "1" / "model.onnx").read_bytes()).hexdigest()
    assert json.loads((repository / "mine" / "published.json").read_text())["sha256"] == served
    (label,) = yaml.safe_load((repository / "mine_detector" / "1" / "inference.yml").read_text())["label_list"]
    assert networks[served] == label


def unknown_field(text: str) -> bytes:
    """A field that ONNX does not know, appended to a network: it changes the file and nothing else."""
    return bytes([0xFA, 0x3F, len(text)]) + text.encode()  # field 1023, length-delimited


def eventually(call: Callable[[], Any], until_it_fails: bool = False, timeout_s: float = 60) -> Any:
    """What `call` returns once the server has noticed; its last exception if it never does.

    In between some models are there and others are not: unavailable.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            value = call()
            if not until_it_fails:
                return value
        except ModelNotFoundError:
            if until_it_fails or time.monotonic() > deadline:
                raise
        except ServerUnavailableError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            return None
        time.sleep(0.5)


def test_a_clock_that_was_set_back(mine: Path, folder: Path) -> None:
    """Triton loads nothing that is older than what it has, so each change is dated after what it replaces."""

    def newest_s() -> float:
        return max(path.stat().st_mtime for path in mine.rglob("*"))

    in_an_hour = time.time() + 3600
    for path in mine.rglob("*"):
        os.utime(path, (in_an_hour, in_an_hour))
    for change in (lambda: publish(folder, "mine", mine), lambda: undo("mine", mine)):
        before_s = newest_s()
        change()
        assert all((mine / model / "config.pbtxt").stat().st_mtime > before_s for model in model_names("mine"))
