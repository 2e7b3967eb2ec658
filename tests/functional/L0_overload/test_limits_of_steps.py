"""What a step refuses when it is called directly, or an ensemble oddly, over both protocols; then it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tritonface_server.limits import MAX_REQUEST_BYTES, MAX_REQUEST_ID_BYTES, MAX_SIDE_PX
from tritonface_server.server import TritonServer

CLIENTS = {"grpc": tritonclient.grpc, "http": tritonclient.http}
TYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FP32", "object": "BYTES", "uint64": "UINT64"}
Arrays = dict[str, np.ndarray]


def infer(address: dict[str, str], model: str, arrays: Arrays, wanted: tuple[str, ...] = (), **options: Any) -> Any:
    library = CLIENTS[address["protocol"]]
    inputs = []
    for name, array in arrays.items():
        inputs.append(library.InferInput(name, list(array.shape), TYPES[str(array.dtype)]))
        inputs[-1].set_data_from_numpy(array)
    outputs = [library.InferRequestedOutput(name) for name in wanted] or None
    with library.InferenceServerClient(address["url"]) as client:
        return client.infer(model, inputs, outputs=outputs, **options)


def refusal(*arguments: Any, **options: Any) -> str:
    """The message of a request that must be refused as wrong, without a word of where in the server it was."""
    with pytest.raises(InferenceServerException) as caught:
        infer(*arguments, **options)
    message = caught.value.message()
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400"), message
    assert "Traceback" not in message and ".py" not in message and "/" not in message.replace(" / ", "")
    return message


def pictures(count: int, width: int, height: int) -> Arrays:
    return {"picture": np.zeros((count, height, width, 3), np.uint8)}


def candidates(count: int = 1, boxes: int = 2, scores: int = 2, sizes_wh: tuple[int, ...] = (4, 4, 4, 4)) -> Arrays:
    return {
        "boxes": np.zeros((count, boxes, 4), np.float32),
        "scores": np.zeros((count, scores), np.float32),
        "sizes_wh": np.array([sizes_wh] * count, np.int32).reshape(count, 2, 2),
    }


def photos(photo: Path, count: int = 1, img_size: int | None = None) -> Arrays:
    arrays: Arrays = {"image": np.array([[photo.read_bytes()]] * count, object)}
    if img_size:
        arrays["img_size"] = np.full((count, 2), img_size, np.int32)
    return arrays


@pytest.mark.fault("C13")
@pytest.mark.parametrize("step", ["detector", "hpi_detector"])
@pytest.mark.parametrize(
    ("size", "message"),
    [((1, 4096, 4096), "from 32 to 2048 px"), ((1, 2049, 640), "2048"), ((6, 2048, 2048), "67,108,864")],
)
def test_a_network_refuses_what_preprocessing_would(
    address: dict[str, str], step: str, size: tuple[int, int, int], message: str
) -> None:
    if address["protocol"] == "http" and np.prod(size) * 3 > 64 * 2**20:
        pytest.skip("Triton takes no HTTP body of this size")
    assert message in refusal(address, f"BlazeFace_{step}", pictures(*size))
    assert infer(address, f"BlazeFace_{step}", pictures(1, 64, 64)).as_numpy("scores").shape[0] == 1


@pytest.mark.fault("C14")
@pytest.mark.parametrize("step", ["detector", "hpi_detector"])
@pytest.mark.parametrize("size", [(1, 0, 0), (1, 1, 1), (1, 640, 0)])
def test_a_picture_without_pixels(address: dict[str, str], step: str, size: tuple[int, int, int]) -> None:
    assert "from 32 to 2048 px" in refusal(address, f"BlazeFace_{step}", pictures(*size))


@pytest.mark.fault("C14")
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (candidates(boxes=2, scores=3), "3 scores an image do not fit 2 boxes"),
        (candidates(boxes=3, scores=0), "0 scores an image do not fit 3 boxes"),
        (candidates(sizes_wh=(4, 4, 0, 4)), "from 1 to"),
        (candidates(sizes_wh=(-1, 4, 4, 4)), "from 1 to"),
        (candidates(sizes_wh=(MAX_SIDE_PX + 1, 4, 4, 4)), "from 1 to"),
    ],
)
def test_postprocessing_refuses_what_no_network_gives(address: dict[str, str], arrays: Arrays, message: str) -> None:
    assert message in refusal(address, "BlazeFace_postprocess", arrays)


def test_postprocessing_takes_no_candidates_at_all(address: dict[str, str]) -> None:
    reply = infer(address, "BlazeFace_postprocess", candidates(boxes=0, scores=0))
    assert reply.as_numpy("num_detections").tolist() == [[0]] and reply.as_numpy("error").tolist() == [[b""]]


@pytest.mark.fault("C13")
def test_postprocessing_refuses_too_many_candidates(server: TritonServer) -> None:
    count = MAX_REQUEST_BYTES // 20 + 1
    address = {"protocol": "grpc", "url": server.endpoints.grpc}
    assert "67,108,864" in refusal(address, "BlazeFace_postprocess", candidates(boxes=count, scores=count))


@pytest.mark.fault("C13")
def test_pictures_are_counted_before_they_are_decoded(address: dict[str, str], solvay: Path) -> None:
    message = refusal(address, "BlazeFace", photos(solvay, count=32, img_size=2048))
    assert "32 pictures of 2048x2048 px are 402,653,184 bytes, the limit is 67,108,864 a request" in message
    assert "send fewer images" in message


@pytest.mark.fault("C13")
def test_encoded_images_are_counted_together(server: TritonServer) -> None:
    arrays = {"image": np.array([[bytes(40 * 2**20)]] * 2, object)}
    message = refusal({"protocol": "grpc", "url": server.endpoints.grpc}, "BlazeFace", arrays)
    assert "2 encoded images of 83,886,080 bytes in one request, the limit is 67,108,864" in message


@pytest.mark.fault("C15")
@pytest.mark.parametrize("wanted", ["error", "warning", "num_detections", "detection_classes"])
def test_one_output_alone(address: dict[str, str], solvay: Path, wanted: str) -> None:
    whole = infer(address, "BlazeFace", photos(solvay))
    alone = infer(address, "BlazeFace", photos(solvay), wanted=(wanted,))
    assert np.array_equal(alone.as_numpy(wanted), whole.as_numpy(wanted))
    others = [name for name in ("error", "num_detections", "detection_boxes") if name != wanted]
    assert all(alone.as_numpy(name) is None for name in others)


def test_the_ticket_is_hidden_from_clients(address: dict[str, str], solvay: Path) -> None:
    assert infer(address, "BlazeFace", photos(solvay)).as_numpy("ticket") is None
    assert "ticket" in refusal(address, "BlazeFace", photos(solvay), wanted=("ticket",))
    assert "ticket" in refusal(address, "BlazeFace", photos(solvay) | {"ticket": np.ones((1, 1), np.uint64)})


@pytest.mark.fault("C16")
@pytest.mark.parametrize("model", ["BlazeFace", "BlazeFace_hpi"])
def test_a_timeout_that_is_over_is_honoured(address: dict[str, str], solvay: Path, model: str) -> None:
    with pytest.raises(InferenceServerException, match="time") as caught:
        infer(address, model, photos(solvay), timeout=1)
    assert caught.value.status() in ("StatusCode.UNAVAILABLE", "503")
    assert infer(address, model, photos(solvay), timeout=60_000_000).as_numpy("num_detections")[0, 0] > 10


@pytest.mark.fault("C16")
def test_a_huge_request_id(address: dict[str, str], solvay: Path) -> None:
    message = refusal(address, "BlazeFace", photos(solvay), request_id="x" * 100_000)
    assert "the request's id has 100,000 bytes, the limit is 1,024" in message
    longest = "x" * MAX_REQUEST_ID_BYTES
    assert infer(address, "BlazeFace", photos(solvay), request_id=longest).get_response()


@pytest.mark.fault("C16")
@pytest.mark.parametrize("priority", [1, 2**63, 2**64 - 1])
def test_a_priority_has_no_effect(address: dict[str, str], solvay: Path, priority: int) -> None:
    assert infer(address, "BlazeFace", photos(solvay), priority=priority).as_numpy("num_detections")[0, 0] > 10
