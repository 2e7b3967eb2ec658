"""One request for inference over either protocol, its image handed on as it is.

Triton's client for gRPC copies an image four times on the way into a message; here it is copied once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
RAW_INPUT_CONTENTS = b"\x3a"
"""The field, number 7 and of bytes, of Triton's message that holds the data of an input."""
DATA_TYPES = {"f": "FP32", "i": "INT32", "b": "BOOL"}
"""Triton's names by numpy's kind."""


class SharedImage(NamedTuple):
    """Where the server finds an image in shared memory: a region, and the number of bytes used of it."""

    region: str
    size: int


class InferenceRequest(NamedTuple):
    """What a model is asked.

    Attributes:
        image: encoded, or where it lies: the input "image", of shape [1, 1].
        others: the other inputs, numbers or truth values.
        outputs: names of those that are wanted.
        timeout_us: after it the server does not begin.
    """

    model: str
    image: bytes | SharedImage
    others: Mapping[str, npt.NDArray[Any]]
    outputs: tuple[str, ...]
    request_id: str
    timeout_us: int


class GrpcInference:
    """Requests over the connection of Triton's asyncio client.

    Args:
        channel: of that client.
    """

    def __init__(self, channel: Any) -> None:
        import grpc
        from tritonclient.grpc import InferResult, raise_error_grpc, service_pb2

        self._messages, self._result = service_pb2, InferResult
        self._failure, self._raise = grpc.RpcError, raise_error_grpc
        self._send = channel.unary_unary(
            GRPC_METHOD, response_deserializer=service_pb2.ModelInferResponse.FromString
        )  # a request is bytes already

    async def infer(
        self, request: InferenceRequest, headers: Mapping[str, str], timeout_s: float
    ) -> list[npt.NDArray[Any]]:
        """The outputs that were asked for; Triton's client's InferenceServerException if there are none."""
        try:
            reply = await self._send(self._message(request), metadata=tuple(headers.items()), timeout=timeout_s)
        except self._failure as error:
            self._raise(error)
        result = self._result(reply)
        return [result.as_numpy(name) for name in request.outputs]

    def _message(self, request: InferenceRequest) -> bytes:
        """The image's field is the last of the message, so it is put behind what protobuf makes of all others."""
        message = self._messages.ModelInferRequest(model_name=request.model, id=request.request_id)
        message.parameters["timeout"].int64_param = request.timeout_us
        for name, value in request.others.items():
            message.inputs.add(name=name, datatype=DATA_TYPES[value.dtype.kind], shape=value.shape)
            message.raw_input_contents.append(value.tobytes())
        image = message.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
        for name in request.outputs:
            message.outputs.add(name=name)
        if isinstance(request.image, SharedImage):
            image.parameters["shared_memory_region"].string_param = request.image.region
            image.parameters["shared_memory_byte_size"].int64_param = request.image.size
            return bytes(message.SerializeToString())
        length = len(request.image)
        data = (RAW_INPUT_CONTENTS, bytes(varint(length + 4)), struct.pack("<I", length), request.image)
        return b"".join((message.SerializeToString(), *data))


def varint(number: int) -> Iterator[int]:
    """A length as protobuf writes it: seven bits a byte, the lowest first."""
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


class HttpInference:
    """Requests by Triton's asyncio client for HTTP."""

    def __init__(self, client: Any) -> None:
        from tritonclient.http import InferInput, InferRequestedOutput

        self._client, self._input, self._output = client, InferInput, InferRequestedOutput

    async def infer(
        self, request: InferenceRequest, headers: Mapping[str, str], timeout_s: float
    ) -> list[npt.NDArray[Any]]:
        """The outputs that were asked for; Triton's client's InferenceServerException if there are none."""
        reply = await self._client.infer(
            request.model,
            [*(self._tensor(name, value) for name, value in request.others.items()), self._image(request.image)],
            outputs=[self._output(name) for name in request.outputs],
            request_id=request.request_id,
            timeout=request.timeout_us,
            headers=dict(headers),
        )
        return [reply.as_numpy(name) for name in request.outputs]

    def _tensor(self, name: str, value: npt.NDArray[Any]) -> Any:
        tensor = self._input(name, list(value.shape), DATA_TYPES[value.dtype.kind])
        tensor.set_data_from_numpy(value)
        return tensor

    def _image(self, image: bytes | SharedImage) -> Any:
        tensor = self._input("image", [1, 1], "BYTES")
        if isinstance(image, SharedImage):
            tensor.set_shared_memory(image.region, image.size)
        else:
            data = np.empty((1, 1), dtype=object)
            data[0, 0] = image
            tensor.set_data_from_numpy(data)
        return tensor
