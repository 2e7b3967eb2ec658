"""Publishing an exported folder: into a running server, refused when it does not run, and undone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import openvino
import pytest

from tests.conftest import PHOTOS
from tests.exported import UNUSABLE, make_export, write_settings
from tests.reference import InProcess
from tests.shipped import shipped
from training.paths import MODEL_REPOSITORY
from training.quantise import quantise
from tritonface import ModelNotFoundError, create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.images import decode_image, resize
from tritonface_server.publish import PublishError, publish, published, undo
from tritonface_server.server import WATCH, TritonServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_export(tmp_path / "exported")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def watching(repository: Path, tmp_path: Path) -> Iterator[TritonServer]:
    shutil.copytree(MODEL_REPOSITORY, repository, ignore=shutil.ignore_patterns("*FPN*", "__pycache__"))
    with TritonServer(repository, Endpoints.free(), log=tmp_path / "log", arguments=WATCH) as server:
        yield server


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_nothing_is_published_at_first(repository: Path) -> None:
    assert published(repository) == []
    with pytest.raises(PublishError, match=r"'mine' was not published in .*; published are: nothing"):
        undo("mine", repository)


def test_into_a_running_server_and_back(watching: TritonServer, repository: Path, folder: Path, solvay: Path) -> None:
    before = everything_in(repository)
    publish(folder, "mine", repository)
    assert published(repository) == ["mine"]
    url = watching.endpoints.grpc
    with eventually(lambda: create_model("mine", url=url)) as model:
        (result,) = model.predict(solvay)
    expected = InProcess(shipped())(solvay.read_bytes(), 0.7, size_wh=(640, 320))
    assert [box["score"] for box in result["boxes"]] == pytest.approx([row[0] for row in expected], abs=1e-5)
    assert {box["label"] for box in result["boxes"]} == {"person"}
    with create_model("BlazeFace", url=url) as model:
        assert next(model.predict(solvay))["boxes"]

    assert not undo("mine", repository)
    assert everything_in(repository) == before
    with pytest.raises(ModelNotFoundError):
        eventually(lambda: create_model("mine", url=url).close(), until_it_fails=True)


def test_a_quantised_network_serves_the_high_performance_variant(
    repository: Path, folder: Path, tmp_path: Path, solvay: Path
) -> None:
    pictures = [resize(decode_image(path.read_bytes()), (640, 320), "cubic") for path in sorted(PHOTOS.glob("*.jpg"))]
    original = openvino.Core().read_model(folder / "model.onnx")
    openvino.save_model(quantise(original, pictures, keep_in_float=[]), folder / "model.xml")
    publish(folder, "mine", repository)
    assert (repository / "mine_hpi_detector" / "1" / "model.bin").is_file()
    with (
        TritonServer(repository, Endpoints.free(), log=tmp_path / "log") as server,
        create_model("mine", use_hpip=True, url=server.endpoints.grpc) as model,
    ):
        (result,) = model.predict(solvay)
    expected = InProcess(shipped())(solvay.read_bytes(), 0.7, size_wh=(640, 320))
    assert abs(len(result["boxes"]) - len(expected)) <= 4


def test_undo_brings_back_what_was_there(repository: Path, folder: Path) -> None:
    publish(folder, "mine", repository)
    first = (repository / "mine_preprocess" / "config.pbtxt").read_text()
    write_settings(folder, label_list=["face", "mask"])
    publish(folder, "mine", repository)
    assert "mask" in (repository / "mine" / "config.pbtxt").read_text()
    assert undo("mine", repository)
    assert "mask" not in (repository / "mine" / "config.pbtxt").read_text()
    assert (repository / "mine_preprocess" / "config.pbtxt").read_text() == first
    assert not undo("mine", repository)
    assert everything_in(repository) == []


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_network_that_does_not_run_stays_invisible(
    repository: Path, folder: Path, spoil: Callable[[Path], None]
) -> None:
    publish(folder, "mine", repository)
    before = everything_in(repository.parent)
    spoil(folder / "model.onnx")
    with pytest.raises(PublishError, match=r"cannot be served: .*failed to load 'mine_"):
        publish(folder, "mine", repository)
    assert everything_in(repository.parent) == before


@pytest.mark.parametrize("name", ["", ".hidden", "../escape", "a/b", "a b", "x" * 65])
def test_names_that_are_no_names(repository: Path, folder: Path, name: str) -> None:
    with pytest.raises(PublishError, match="use letters, digits"):
        publish(folder, name, repository)
    assert not repository.exists()


def test_a_shipped_model_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    repository = tmp_path / "copy"
    shutil.copytree(MODEL_REPOSITORY, repository)
    with pytest.raises(PublishError, match="choose another name"):
        publish(folder, "BlazeFace", repository)


def test_settings_that_cannot_be_served(repository: Path, folder: Path) -> None:
    write_settings(folder, label_list="person")
    with pytest.raises(PublishError, match=r"inference\.yml: label_list is 'person'"):
        publish(folder, "mine", repository)


@pytest.mark.parametrize("missing", ["model.onnx", "inference.yml"])
def test_a_folder_that_lacks_a_file(repository: Path, folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(PublishError, match=f"has no {missing}"):
        publish(folder, "mine", repository)


def eventually(call, until_it_fails: bool = False, timeout_s: float = 30):
    """What `call` returns once the server has noticed; its last exception if it never does."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            value = call()
            if not until_it_fails:
                return value
        except ModelNotFoundError:
            if until_it_fails or time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            return None
        time.sleep(0.5)
