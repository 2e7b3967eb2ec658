"""The scripts of examples/ whose packages are in requirements/examples.txt, and a training: `make test-long`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import requests

from tests.dataset import draw_faces_dataset
from tests.films import pictures_of, sound_of, write_film
from tests.functional.L0_examples.test_examples import EXAMPLES
from tests.shipped import copy_one_detector
from training.paths import ROOT
from tritonface import create_model
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def address(server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONFACE_URL", server.endpoints.grpc)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'client'}:{ROOT / 'server'}")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def application() -> Iterator[str]:
    """The address of fastapi_app.py."""
    host, port = Endpoints.free().http.split(":")
    command = [sys.executable, "-m", "uvicorn", "--app-dir", EXAMPLES, "--port", port, "fastapi_app:app"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        try:
            assert any("Uvicorn running" in line for line in run.stderr)
            yield f"http://{host}:{port}"
        finally:
            run.terminate()


def test_fastapi(application: str, astronaut: Path) -> None:
    answer = requests.post(f"{application}/faces?threshold=0.95", files={"photo": astronaut.read_bytes()}, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["size_wh"] == [512, 512] and len(answer.json()["boxes"]) == 1
    answer = requests.post(f"{application}/faces", files={"photo": b"no photo"}, timeout=60)
    assert answer.status_code == 422 and "not a JPEG" in answer.json()["detail"]
    large = requests.post(f"{application}/faces", files={"photo": bytes(20 * 2**20 + 1)}, timeout=60)
    assert large.status_code == 413


def test_watch_folder(astronaut: Path, tmp_path: Path) -> None:
    incoming, output = tmp_path / "incoming", tmp_path / "faces"
    incoming.mkdir()
    (incoming / "before.jpg").write_bytes(astronaut.read_bytes())
    command = [sys.executable, "-u", EXAMPLES / "watch_folder.py", incoming, output]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout.readline().startswith("before.jpg: ")
            (incoming / "note.txt").write_text("no picture")
            (incoming / "bad.jpg").write_bytes(b"bad")
            assert "not a JPEG" in run.stdout.readline()
            (incoming / "later.jpg.part").write_bytes(astronaut.read_bytes())
            (incoming / "later.jpg.part").rename(incoming / "later.jpg")
            assert run.stdout.readline().startswith("later.jpg: ")
        finally:
            run.terminate()
    assert sorted(path.name for path in output.iterdir()) == ["before.jpg.json", "later.jpg.json"]


@pytest.mark.filterwarnings("ignore:The `ByteTrack` was deprecated")
def test_track_faces(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 20, sound="aac")
    seen = load("track_faces.py").track(film, tmp_path / "tracked.mp4", "BlazeFace")
    assert max(seen.values()) >= 15  # one face, one number
    assert len(pictures_of(tmp_path / "tracked.mp4")) == 20 and sound_of(tmp_path / "tracked.mp4") == sound_of(film)


def test_notebook() -> None:
    import nbclient
    import nbformat

    notebook = nbformat.read(EXAMPLES / "faces.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # nothing but the source is kept
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 3
    assert any("29 faces" in output.get("text", "") for output in shown)


def test_fine_tune(tmp_path: Path) -> None:
    dataset, repository = draw_faces_dataset(tmp_path / "faces", count=8), copy_one_detector(tmp_path / "repository")
    small = ["Train.image_size=64", "Train.image_sizes=[]", "Train.batch_size=4", "Train.learning_rate=0.001"]
    options = [text for setting in (*small, "Train.num_workers=0") for text in ("-o", setting)]
    command = [sys.executable, EXAMPLES / "fine_tune.py", dataset, "my-faces", "--output", tmp_path / "out", *options]
    run = subprocess.run(
        [*command, "--always", "--model-repository", repository, "--epochs", "1"], capture_output=True, text=True
    )
    assert run.returncode == 0 and "AP before " in run.stdout, run.stdout + run.stderr
    published = TritonServer(repository, Endpoints.free(), log=tmp_path / "log", cpus=1)
    with published, create_model("my-faces", url=published.endpoints.grpc) as model:
        assert model.input_size_wh == (64, 64)
        assert len(list(model.predict(dataset / "images"))) == 8
