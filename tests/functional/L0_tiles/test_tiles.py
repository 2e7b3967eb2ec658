"""Small faces in a large photo: found with `tiles=`, by one and the same server, and as one process finds them.

The photo is the demo's group, four times side by side. Stretched to the network's input its faces are half as wide as
in the group's own photo.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from tests.conftest import PHOTOS
from tests.reference import iou_with_each
from tests.scrape import Watch, wait_until
from tests.shipped import network_file, shipped
from tritonface import DetectionResult, FaceDetector, ImageError, InvalidArgumentError, create_async_model, create_model
from tritonface._cli import main
from tritonface_server.in_process import InProcessDetector, load_network
from tritonface_server.metrics import FACES_FOUND, IMAGES_DECODED, series
from tritonface_server.server import TritonServer

NAME, TILE_PX = "BlazeFace", 960
CLEAR_SCORE = 0.7


@pytest.fixture(scope="module")
def group() -> np.ndarray:
    return cv2.imread(str(PHOTOS / "solvay_1927.jpg"))


@pytest.fixture(scope="module")
def crowd(group: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crowd") / "crowd.png"
    cv2.imwrite(str(path), np.tile(group, (2, 2, 1)))
    return path


@pytest.fixture(scope="module")
def network() -> InProcessDetector:
    return InProcessDetector(shipped(NAME), load_network(network_file(NAME)))


@pytest.fixture(scope="module")
def faces(group: np.ndarray, network: InProcessDetector) -> np.ndarray:
    """The clear faces of the group in each of its four places, float32 [K, 4]."""
    (found,) = network.detect([group], CLEAR_SCORE)
    height, width = group.shape[:2]
    return np.concatenate([found.boxes_xyxy_px + np.float32([x, y, x, y]) for y in (0, height) for x in (0, width)])


@pytest.fixture(scope="module")
def model(server: TritonServer) -> Iterator[FaceDetector]:
    with create_model(NAME, url=server.endpoints.grpc) as detector:
        yield detector


def recall(faces: np.ndarray, result: DetectionResult) -> float:
    return float(np.mean([len(result) > 0 and iou_with_each(face, result.xyxy).max() > 0.5 for face in faces]))


def test_tiles_find_what_is_too_small_for_the_whole_photo(model: FaceDetector, crowd: Path, faces: np.ndarray) -> None:
    (without,), (tiled,) = model.predict(crowd), model.predict(crowd, tiles=TILE_PX)
    assert len(faces) >= 40
    assert recall(faces, without) < 0.4
    assert recall(faces, tiled) > 0.9
    overlaps = [np.sort(iou_with_each(box, tiled.xyxy))[-2] for box in tiled.xyxy]
    assert max(overlaps) < 0.5  # nothing comes twice
    assert np.all(np.diff(tiled.scores) <= 0)


@pytest.mark.parametrize(("tile_wh", "threshold"), [((1000, 700), None), ((3000, 640), 0.2)])
def test_what_is_served_is_what_one_process_finds(
    model: FaceDetector, network: InProcessDetector, crowd: Path, tile_wh: tuple[int, int], threshold: float | None
) -> None:
    check_as_in_one_process(model, network, crowd, tile_wh, threshold)


@pytest.mark.parametrize("tile_px", [1600, 2880])
def test_a_large_jpeg_is_decoded_whole_if_it_has_tiles(
    model: FaceDetector, network: InProcessDetector, group: np.ndarray, tmp_path: Path, tile_px: int
) -> None:
    """One that a single tile holds is decoded at 1/2, as without tiles."""
    large = tmp_path / "large.jpg"
    cv2.imwrite(str(large), np.tile(group, (3, 3, 1)))
    check_as_in_one_process(model, network, large, (tile_px, tile_px), 0.2)


def check_as_in_one_process(
    model: FaceDetector, network: InProcessDetector, photo: Path, tile_wh: tuple[int, int], threshold: float | None
) -> None:
    expected = InProcessDetector(network.facts, network.network, tile_wh=tile_wh)(photo.read_bytes(), threshold)
    (served,) = model.predict(photo, threshold=threshold, tiles=tile_wh)
    assert len(served) == len(expected.scores) > 2
    np.testing.assert_allclose(served.scores, expected.scores, atol=1e-5, rtol=0)
    np.testing.assert_allclose(served.xyxy, expected.boxes_xyxy_px, atol=0.02, rtol=0)


def test_the_high_performance_variant(server: TritonServer, crowd: Path, faces: np.ndarray) -> None:
    with create_model(NAME, use_hpip=True, url=server.endpoints.grpc, tiles=TILE_PX) as model:
        (found,) = model.predict(crowd)
    assert recall(faces, found) > 0.85


def test_a_photo_that_one_tile_holds(model: FaceDetector, solvay: Path) -> None:
    (without,), (tiled,) = model.predict(solvay), model.predict(solvay, tiles=[960, 600])
    assert np.array_equal(without.xyxy, tiled.xyxy) and np.array_equal(without.scores, tiled.scores)


def test_a_turned_photo(model: FaceDetector, crowd: Path, tmp_path: Path) -> None:
    """Tiles are those of the upright photo."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(crowd) as photo:
        photo.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    (upright,), (turned,) = (model.predict(file, tiles=[1000, 700]) for file in (crowd, tmp_path / "turned.png"))
    assert np.array_equal(upright.xyxy, turned.xyxy) and len(upright) > 20


def test_a_photo_that_was_shrunk_before_it_was_sent(server: TritonServer, crowd: Path) -> None:
    """The tiles are of the photo's own pixels all the same: as many as of the whole one."""
    arguments = {"url": server.endpoints.grpc, "tiles": TILE_PX}
    with create_model(NAME, **arguments) as whole, create_model(NAME, max_side_px=960, **arguments) as shrunk:
        (large,), (small,) = whole.predict(crowd), shrunk.predict(crowd)
    assert len(small) > 0.7 * len(large)


def test_a_photo_that_is_cut_off(model: FaceDetector, crowd: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "cut.jpg"), cv2.imread(str(crowd)))
    encoded = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(encoded[: len(encoded) * 2 // 3])
    (result,) = model.predict(tmp_path / "cut.jpg", tiles=TILE_PX)
    assert result.warning and len(result) > 10


def test_the_asyncio_twin_and_the_command(
    address: dict[str, str], crowd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def count() -> int:
        async with create_async_model(NAME, **address) as model:
            return len(await anext(model.predict(crowd, tiles=TILE_PX)))

    options = ["--model", NAME, "--url", address["url"], "--protocol", address["protocol"], "--json"]
    assert main(["predict", str(crowd), *options, "--tiles", f"{TILE_PX}x{TILE_PX}"]) == 0
    boxes = json.loads(capsys.readouterr().out)["boxes"]
    assert len(boxes) == asyncio.run(count()) > 40


def test_an_image_of_too_many_tiles(model: FaceDetector, crowd: Path) -> None:
    message = r"image of 1920x1200 pixels has 60 tiles of 240x240, the limit is 31; .* 354 px or more"
    with pytest.raises(ImageError, match=message):
        list(model.predict(crowd, tiles=240))
    (refused,) = model.predict(crowd, tiles=240, on_error="yield")
    assert refused.error is not None


def test_more_than_a_request_may_become(server: TritonServer, crowd: Path) -> None:
    with create_model(NAME, url=server.endpoints.grpc, img_size=2048) as model:
        message = r"7 pictures of 2048x2048 px, an image and its tiles, are 88,080,384 bytes, .*; ask for larger tiles"
        with pytest.raises(InvalidArgumentError, match=message):
            list(model.predict(crowd, tiles=800))


@pytest.mark.parametrize("tiles", [0, 31, 40_000, 640.0, [640], [640, 480, 3], "640", True])
def test_what_is_no_size_is_refused_at_once(model: FaceDetector, tiles: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"tiles is a number or \[width, height\] .* from 32 to 32768"):
        model.predict([], tiles=tiles)


@pytest.mark.parametrize(
    ("count", "tile_wh", "message"),
    [(1, (31, 640), "sides are from 32 to 32,768 px"), (2, (640, 640), "has one image, this one has 2")],
)
def test_what_is_refused_on_the_wire(
    server: TritonServer, solvay: Path, count: int, tile_wh: tuple[int, int], message: str
) -> None:
    with pytest.raises(InferenceServerException, match=message) as caught:
        infer(server, [solvay.read_bytes()] * count, tile_wh)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_an_answer_has_the_shapes_of_one_image_and_counts_as_one(server: TritonServer, crowd: Path) -> None:
    watch = Watch.of_settled(server)
    answer = infer(server, [crowd.read_bytes()], (TILE_PX, TILE_PX), threshold=0.6)
    found = int(answer.as_numpy("num_detections")[0, 0])
    shapes = {name: answer.as_numpy(name).shape for name in ("num_detections", "detection_boxes", "error", "warning")}
    assert shapes == {"num_detections": (1, 1), "detection_boxes": (1, found, 4), "error": (1, 1), "warning": (1, 1)}
    assert answer.as_numpy("detection_scores").min() > 0.6

    counted = {series(IMAGES_DECODED, detector=NAME): 1, series(FACES_FOUND, detector=NAME): found}
    wait_until(lambda: counted.items() <= watch.grown().items(), lambda: f"{watch.grown()} is not {counted}")


def infer(
    server: TritonServer, images: list[bytes], tile_wh: tuple[int, int], threshold: float = 0.5
) -> triton.InferResult:
    arrays = {
        "image": (np.array([[image] for image in images], object), "BYTES"),
        "tiles": (np.array([tile_wh] * len(images), np.int32), "INT32"),
        "threshold": (np.full((len(images), 1), threshold, np.float32), "FP32"),
    }
    inputs = []
    for name, (array, kind) in arrays.items():
        inputs.append(triton.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        return client.infer(NAME, inputs, client_timeout=60)
