"""What is served is evaluated over gRPC, and gets the figures of the same network in one process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.demo_faces import label_demo_photos
from tests.shipped import network_file, shipped
from training.config import Evaluate
from training.evaluation.coco import METRICS
from training.evaluation.detect import DetectError, open_detect
from training.evaluation.evaluate import evaluate, run_evaluate
from training.evaluation.served import Served
from training.paths import shipped_weights
from tritonface_server.images import ImageError
from tritonface_server.server import TritonServer


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return label_demo_photos(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("size_wh", [None, (480, 320)])
@pytest.mark.parametrize("name", ["BlazeFace", "PP-YOLOE_plus-S_face"])
def test_served_and_in_process_get_equal_figures(
    server: TritonServer, data_set: Path, tmp_path: Path, name: str, size_wh: tuple[int, int] | None
) -> None:
    ways = {
        "paddle": {"weights": shipped_weights(name)},
        "onnx": {"weights": network_file(name)},
        "served": {"served_url": server.endpoints.grpc},
        "hpi": {"served_url": server.endpoints.grpc, "served_model": f"{name}_hpi"},
    }
    results = {}
    for way, arguments in ways.items():
        with open_detect(name, size_wh=size_wh, **arguments) as detect:
            results[way] = evaluate(detect, name, data_set, tmp_path / way)
    figures = {way: {metric: result[metric] for metric in METRICS} for way, result in results.items()}
    assert 0.2 < figures["served"]["AP"] < 1
    assert figures["served"] == pytest.approx(figures["onnx"], abs=1e-6)
    assert figures["paddle"] == pytest.approx(figures["onnx"], abs=2e-3)  # other kernels may swap two equal scores
    assert figures["hpi"]["AP50"] == pytest.approx(figures["onnx"]["AP50"], abs=0.05)
    width, height = size_wh or shipped(name).input_size_wh
    assert all(result["image_size"] == {"width": width, "height": height} for result in results.values())


def test_from_the_settings_of_the_command_line(server: TritonServer, data_set: Path, tmp_path: Path) -> None:
    chosen = Evaluate(served_url=server.endpoints.grpc, served_model="BlazeFace_hpi")
    shared = SimpleNamespace(model="BlazeFace", dataset_dir=str(data_set), output=str(tmp_path))
    result = run_evaluate(SimpleNamespace(Global=shared, Evaluate=chosen))
    assert (result["source"], result["images"]) == ("served", 2)


def test_what_the_server_does_not_do(server: TritonServer, tmp_path: Path) -> None:
    url = server.endpoints.grpc
    for name in ("Blaze", "BlazeFace_detector"):
        with pytest.raises(DetectError, match=f"has no detector '{name}'"):
            Served(url, name)
    with pytest.raises(DetectError, match=r"img_size .* got .*5000"):
        Served(url, "BlazeFace", (5000, 640))
    (tmp_path / "photo.jpg").write_bytes(b"no picture")
    with Served(url, "BlazeFace") as detect, pytest.raises(ImageError, match=r"photo\.jpg"):
        detect(tmp_path / "photo.jpg")
