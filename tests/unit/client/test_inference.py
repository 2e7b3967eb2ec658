"""The message with an image is, byte for byte, what Triton's own client makes of it; HTTP bodies arrive whole."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import tritonclient.grpc
from aiohttp import ClientSession, web
from tritonclient.grpc import service_pb2

from tritonface._client import PIECE_BYTES, _InPieces
from tritonface._inference import GrpcInference, InferenceRequest, SharedImage


class Channel:
    """The one thing that is asked of a channel of gRPC before a request."""

    def unary_unary(self, method: str, response_deserializer: object) -> None:
        assert method.endswith("ModelInfer") and response_deserializer


OTHERS = {"threshold": np.array([[0.5]], np.float32), "img_size": np.array([[640, 480]], np.int32)}


def request(image: bytes | SharedImage) -> InferenceRequest:
    return InferenceRequest("BlazeFace", image, OTHERS, ("boxes", "scores"), "run-1", 2_000_000)


@pytest.mark.parametrize("length", [0, 1, 123, 124, 16_379, 16_380, 2**21 - 5, 2**21 - 4, 3_000_000])
def test_the_message_is_that_of_tritons_client(length: int) -> None:
    image = np.random.default_rng(length).bytes(length)
    inputs = []
    for name, value, kind in (
        ("threshold", OTHERS["threshold"], "FP32"),
        ("img_size", OTHERS["img_size"], "INT32"),
        ("image", np.array([[image, b""]], dtype=object)[:, :1], "BYTES"),
    ):
        inputs.append(tritonclient.grpc.InferInput(name, list(value.shape), kind))
        inputs[-1].set_data_from_numpy(value)
    expected = tritonclient.grpc._utils._get_inference_request(
        model_name="BlazeFace",
        inputs=inputs,
        model_version="",
        request_id="run-1",
        outputs=[tritonclient.grpc.InferRequestedOutput(name) for name in ("boxes", "scores")],
        sequence_id=0,
        sequence_start=False,
        sequence_end=False,
        priority=0,
        timeout=2_000_000,
        parameters=None,
    )
    message = GrpcInference(Channel())._message(request(image))
    assert service_pb2.ModelInferRequest.FromString(message) == expected
    assert message == expected.SerializeToString()


def test_a_message_that_names_shared_memory_holds_no_image() -> None:
    message = GrpcInference(Channel())._message(request(SharedImage("region", 1234)))
    parsed = service_pb2.ModelInferRequest.FromString(message)
    assert len(parsed.raw_input_contents) == len(OTHERS) and parsed.inputs[-1].name == "image"
    parameters = parsed.inputs[-1].parameters
    assert parameters["shared_memory_region"].string_param == "region"
    assert parameters["shared_memory_byte_size"].int64_param == 1234


@pytest.mark.parametrize("length", [0, PIECE_BYTES, PIECE_BYTES + 1, 10 * PIECE_BYTES - 7])
def test_a_body_in_pieces_arrives_whole_and_with_its_length(length: int) -> None:
    body = np.random.default_rng(length).bytes(length)

    async def answer(got: web.Request) -> web.Response:
        assert got.headers["Content-Length"] == str(length) and "Transfer-Encoding" not in got.headers
        assert got.headers["name"] == "value" and await got.read() == body
        return web.Response(text="whole")

    async def program() -> None:
        application = web.Application(client_max_size=2**30)
        application.router.add_post("/", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with ClientSession() as session:
            reply = await _InPieces(session).post(url=f"http://{host}:{port}/", data=body, headers={"name": "value"})
            assert await reply.text() == "whole"
        await runner.cleanup()

    asyncio.run(program())
