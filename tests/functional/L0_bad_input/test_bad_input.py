"""Bad input gets one clear exception each, its neighbours their results, and the server goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tritonface import (
    Connection,
    DeadlineExceededError,
    FaceDetector,
    ImageError,
    InvalidArgumentError,
    ModelNotFoundError,
    ServerUnavailableError,
    create_model,
)
from tritonface_server.endpoints import Endpoints
from tritonface_server.limits import MAX_BATCH_SIZE
from tritonface_server.server import TritonServer


@pytest.fixture
def bad_files(tmp_path: Path, solvay: Path) -> dict[str, Path]:
    contents = {
        "empty.jpg": b"",
        "text.txt": b"not a picture",
        "truncated.jpg": solvay.read_bytes()[:1_000],
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in contents}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.jpg", "is empty (0 bytes)"),
        ("text.txt", "not a JPEG, PNG, BMP or WebP image"),
        ("truncated.jpg", "truncated or damaged"),
    ],
)
def test_a_bad_file(model: FaceDetector, bad_files: dict[str, Path], solvay: Path, name: str, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        list(model.predict(bad_files[name]))
    assert message in str(caught.value)
    assert repr(str(bad_files[name])) in str(caught.value)
    assert "ensemble" not in str(caught.value) and "Traceback" not in str(caught.value)
    assert caught.value.input_path == str(bad_files[name])
    (after,) = model.predict(solvay)
    assert len(after["boxes"]) > 10


@pytest.mark.fault("A17")
@pytest.mark.parametrize(("threshold", "size_wh"), [(1.5, None), (-0.5, None), (None, (31, 640)), (None, (640, 4096))])
@pytest.mark.parametrize("on_error", ["raise", "yield"])
def test_a_wrong_request_is_no_bad_image(
    model: FaceDetector, solvay: Path, on_error: str, threshold: float | None, size_wh: tuple[int, int] | None
) -> None:
    """What the SDK does not let through, so that it is the server that refuses it, as one with other limits might."""
    session = model._session
    session.threshold, session.img_size_wh = threshold, size_wh
    with pytest.raises(InvalidArgumentError, match=r"the server at .* refuses the request: (threshold|img_size)"):
        list(model.predict([solvay, solvay], on_error=on_error))


@pytest.mark.fault("A17")
def test_an_image_refused_by_the_server_is_an_image_error(model: FaceDetector, bad_files: dict[str, Path]) -> None:
    (result,) = model.predict(bad_files["text.txt"], on_error="yield")
    assert type(result.error) is ImageError and "image refused" not in str(result.error)


def test_a_missing_file(model: FaceDetector, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read '.*gone.jpg': No such file or directory"):
        list(model.predict(tmp_path / "gone.jpg"))


def test_an_unknown_model(address: dict[str, str]) -> None:
    for name in ("Nope", "BlazeFace_detector"):
        with pytest.raises(ModelNotFoundError, match=f"no detector '{name}'; it has: BlazeFace"):
            create_model(name, **address)


def test_a_bad_image_among_eight(model: FaceDetector, bad_files: dict[str, Path], solvay: Path) -> None:
    images = [solvay] * 3 + [bad_files["truncated.jpg"]] + [solvay] * 4
    results = list(model.predict(images, batch_size=8, on_error="yield"))
    assert [result["input_path"] for result in results] == [str(image) for image in images]
    good = [result for result in results if result.error is None]
    assert len(good) == 7 and all(result["boxes"] == good[0]["boxes"] and result["boxes"] for result in good)
    bad = results[3]
    assert isinstance(bad.error, ImageError) and bad["boxes"] == [] and "truncated" in bad["error"]
    with pytest.raises(ImageError):
        bad.img  # noqa: B018


def test_results_before_a_bad_image_are_delivered(
    model: FaceDetector, bad_files: dict[str, Path], solvay: Path
) -> None:
    run = model.predict([solvay, solvay, bad_files["empty.jpg"], solvay], batch_size=4)
    assert next(run)["boxes"] and next(run)["boxes"]
    with pytest.raises(ImageError, match=r"empty\.jpg"):
        next(run)


def test_a_bad_image_among_eight_in_one_request(server: TritonServer, solvay: Path) -> None:
    encoded = [solvay.read_bytes()] * 8
    encoded[3] = b"not a picture"
    reply = infer(server, np.array(encoded, dtype=object)[:, None])
    counts = reply.as_numpy("num_detections")[:, 0].tolist()
    assert counts[3] == 0 and len(set(counts[:3] + counts[4:])) == 1 and counts[0] > 10
    errors = [error.decode() for error in reply.as_numpy("error")[:, 0]]
    assert "not a JPEG" in errors.pop(3) and errors == [""] * 7


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_bad_threshold_on_the_wire(server: TritonServer, solvay: Path, threshold: float) -> None:
    images = np.array([[solvay.read_bytes()]], dtype=object)
    with pytest.raises(InferenceServerException, match="threshold must lie between 0 and 1") as caught:
        infer(server, images, threshold=threshold)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("shape", [(0, 1), (MAX_BATCH_SIZE + 1, 1), (1, 2)])
def test_a_bad_shape_on_the_wire(server: TritonServer, shape: tuple[int, int]) -> None:
    with pytest.raises(InferenceServerException):
        infer(server, np.full(shape, b"x", dtype=object))


@pytest.mark.parametrize(
    ("sizes_wh", "message"),
    [
        ([[31, 640]], "31x640 .*sides from 32 to 2048"),
        ([[640, 2049]], "640x2049"),
        ([[-640, 640]], "-640x640"),
        ([[320, 320], [640, 640]], "one img_size"),
    ],
)
def test_a_bad_img_size_on_the_wire(
    server: TritonServer, solvay: Path, sizes_wh: list[list[int]], message: str
) -> None:
    images = np.array([[solvay.read_bytes()]] * len(sizes_wh), dtype=object)
    with pytest.raises(InferenceServerException, match=message) as caught:
        infer(server, images, img_size=np.array(sizes_wh, np.int32))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("img_size", [0, 31, 4096, 640.0, [640], [640, 512, 3], [640, "512"], -640])
def test_a_bad_img_size(server: TritonServer, img_size: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"img_size is a number or \[width, height\]"):
        create_model("BlazeFace", url=server.endpoints.grpc, img_size=img_size)


def infer(
    server: TritonServer, images: np.ndarray, threshold: float | None = None, img_size: np.ndarray | None = None
) -> triton.InferResult:
    inputs = [triton.InferInput("image", list(images.shape), "BYTES")]
    inputs[0].set_data_from_numpy(images)
    if threshold is not None:
        inputs.append(triton.InferInput("threshold", [len(images), 1], "FP32"))
        inputs[-1].set_data_from_numpy(np.full((len(images), 1), threshold, np.float32))
    if img_size is not None:
        inputs.append(triton.InferInput("img_size", list(img_size.shape), "INT32"))
        inputs[-1].set_data_from_numpy(img_size)
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        return client.infer("BlazeFace", inputs)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_nobody_listens(protocol: str) -> None:
    url = Endpoints.free().http
    with pytest.raises(ServerUnavailableError, match=f"at {url} .*make serve"):
        create_model("BlazeFace", url=url, protocol=protocol)


def test_the_wrong_port(server: TritonServer) -> None:
    with pytest.raises(ServerUnavailableError, match="8001 for gRPC, 8000 for HTTP"):
        create_model("BlazeFace", url=server.endpoints.grpc, protocol="http")
    with pytest.raises(ServerUnavailableError, match="8001 for gRPC, 8000 for HTTP"):
        create_model("BlazeFace", url=server.endpoints.http, protocol="grpc")


def test_a_server_that_hangs(server: TritonServer, address: dict[str, str], solvay: Path) -> None:
    with create_model("BlazeFace", connection=Connection(**address, timeout_s=0.5)) as model:
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(DeadlineExceededError, match=r"within 0.5 s"):
                list(model.predict(solvay))
        finally:
            server.process.send_signal(signal.SIGCONT)
    with create_model("BlazeFace", **address) as model:
        assert next(model.predict(solvay))["boxes"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"protocol": "ftp"},
        {"connection": "127.0.0.1:8001"},
        {"connection": Connection(), "url": "127.0.0.1:8001"},
        {"connection": Connection(), "protocol": "grpc"},
        {"url": "http://127.0.0.1:8000"},
        {"threshold": 2},
    ],
)
def test_bad_arguments_of_create_model(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError):
        create_model("BlazeFace", **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"batch_size": True},
        {"threshold": -0.1},
        {"threshold": float("nan")},
        {"threshold": "0.5"},
        {"threshold": True},
        {"on_error": "ignore"},
    ],
)
def test_bad_arguments_of_predict_fail_at_once(model: FaceDetector, arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError):
        model.predict([], **arguments)
