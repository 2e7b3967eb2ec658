"""What is served equals the same work done in one process: files, thresholds, sizes, arrays, over both protocols.

With one detector; L0_all_detectors asks the others.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from tests.reference import InProcess
from tests.shipped import shipped
from tritonface import DetectionResult, FaceDetector, create_model
from tritonface_server.server import TritonServer


@pytest.fixture(scope="module")
def reference() -> InProcess:
    return InProcess(shipped(), scaled=True)


@pytest.fixture
def detector(address: dict[str, str], reference: InProcess) -> Iterator[FaceDetector]:
    with create_model(reference.detector.name, **address) as model:
        yield model


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The Solvay photo in every format, turned, grey, with alpha, tiny, large, and a picture without faces."""
    folder = tmp_path_factory.mktemp("variants")
    photo = Image.open(Path(__file__).parents[3] / "demo" / "photos" / "solvay_1927.jpg").convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(folder / "plain.jpg")
    photo.save(folder / "plain.bmp")
    photo.save(folder / "plain.webp")
    photo.convert("L").save(folder / "grey.png")
    photo.convert("RGBA").save(folder / "alpha.png")
    photo.rotate(90, expand=True).save(folder / "turned.jpg", exif=turned)
    photo.resize((3000, 2000)).save(folder / "large.jpg")
    photo.resize((640, 640)).save(folder / "as_the_network.png")
    photo.crop((0, 0, 1, 1)).save(folder / "one_pixel.png")
    Image.new("RGB", (300, 200), (90, 120, 60)).save(folder / "nothing.jpg")
    return sorted(folder.iterdir())


def rows(result: DetectionResult) -> list[list[float]]:
    return [[box["score"], *box["coordinate"]] for box in result["boxes"]]


def assert_same(served: list[list[float]], expected: list[list[float]]) -> None:
    assert len(served) == len(expected)
    if expected:
        np.testing.assert_allclose(np.array(served)[:, 0], np.array(expected)[:, 0], atol=1e-5, rtol=0)
        np.testing.assert_allclose(np.array(served)[:, 1:], np.array(expected)[:, 1:], atol=0.01, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_files(detector: FaceDetector, reference: InProcess, variants: list[Path], batch_size: int) -> None:
    results = list(detector.predict([str(path) for path in variants], batch_size=batch_size))
    assert [result["input_path"] for result in results] == [str(path) for path in variants]
    assert sum(len(result["boxes"]) for result in results) > 100
    for path, result in zip(variants, results):
        assert_same(rows(result), reference(path.read_bytes()))


@pytest.mark.parametrize("threshold", [0, 0.02, 0.9, 1])
def test_thresholds(detector: FaceDetector, reference: InProcess, solvay: Path, threshold: float) -> None:
    (result,) = detector.predict(solvay, threshold=threshold)
    assert_same(rows(result), reference(solvay.read_bytes(), threshold))


@pytest.mark.parametrize("img_size", [320, [640, 512], [96, 1024]])
def test_img_size(
    address: dict[str, str], reference: InProcess, variants: list[Path], img_size: int | list[int]
) -> None:
    width, height = [img_size] * 2 if isinstance(img_size, int) else img_size
    with create_model(reference.detector.name, img_size=img_size, **address) as model:
        for path, result in zip(variants, model.predict([str(path) for path in variants], batch_size=4), strict=True):
            assert_same(rows(result), reference(path.read_bytes(), size_wh=(width, height)))


def test_sizes_do_not_mix_in_a_batch(server: TritonServer, reference: InProcess, solvay: Path) -> None:
    """Requests of several sizes at once, which no scheduler may mix."""
    name, sizes = reference.detector.name, [320, 640, 352, 480] * 4
    with ThreadPoolExecutor(len(sizes)) as pool:

        def detect(size: int) -> list[list[float]]:
            with create_model(name, img_size=size, url=server.endpoints.grpc) as model:
                return rows(next(model.predict(solvay)))

        for size, served in zip(sizes, pool.map(detect, sizes)):
            assert_same(served, reference(solvay.read_bytes(), size_wh=(size, size)))


def test_arrays(detector: FaceDetector, reference: InProcess) -> None:
    rng = np.random.default_rng(0)
    colour, grey = rng.integers(0, 256, (70, 101, 3), np.uint8), rng.integers(0, 256, (33, 50), np.uint8)
    strided = colour[::-1, ::2]
    for array in (colour, grey, strided):
        picture = array if array.ndim == 2 else array[:, :, ::-1]
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
        (result,) = detector.predict(array, threshold=0.01)
        assert_same(rows(result), reference(buffer.getvalue(), 0.01))


def test_one_request_with_several_images(server: TritonServer, reference: InProcess, variants: list[Path]) -> None:
    encoded = [path.read_bytes() for path in variants]
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        images = triton.InferInput("image", [len(encoded), 1], "BYTES")
        images.set_data_from_numpy(np.array(encoded, dtype=object)[:, None])
        reply = client.infer(reference.detector.name, [images])
    counts = reply.as_numpy("num_detections")[:, 0]
    for i, data in enumerate(encoded):
        scores = reply.as_numpy("detection_scores")[i, : counts[i], None]
        assert_same(np.hstack([scores, reply.as_numpy("detection_boxes")[i, : counts[i]]]).tolist(), reference(data))
    assert not any(reply.as_numpy("error")[:, 0])
