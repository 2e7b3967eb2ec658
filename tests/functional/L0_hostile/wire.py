"""Requests as bytes on the wire, so that nothing on the client's side checks them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tritonface_server.server import TritonServer

TIMEOUT_S = 30


@dataclass(frozen=True)
class Tensor:
    """An input as it is sent, whether its parts fit together or not."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """An inference request; `parameters` hold numbers, texts and truth values."""

    what: str
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[str, ...] = ()
    model: str = "BlazeFace"
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Answer:
    """A status, "OK" for a result, and what was said."""

    status: str
    message: str = ""


def elements(*items: bytes) -> bytes:
    """BYTES as Triton takes them: each with its length in front."""
    return b"".join(len(item).to_bytes(4, "little") + item for item in items)


def image(*items: bytes) -> Tensor:
    """The input `image` as it should be."""
    return Tensor("image", "BYTES", (len(items), 1), elements(*items))


def array(name: str, values: np.ndarray) -> Tensor:
    """An input of numbers."""
    types = {"f4": "FP32", "i4": "INT32", "i8": "INT64", "u8": "UINT64", "u1": "UINT8", "b1": "BOOL"}
    return Tensor(name, types[values.dtype.str[1:]], values.shape, values.tobytes())


def over_grpc(server: TritonServer, request: Request) -> Answer:
    """What the server says by gRPC."""
    message = service_pb2.ModelInferRequest(model_name=request.model, model_version=request.version, id=request.id)
    for tensor in request.inputs:
        sent = message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _set_parameters(sent.parameters, tensor.parameters)
        message.raw_input_contents.append(tensor.data)
    for name in request.outputs:
        message.outputs.add(name=name)
    _set_parameters(message.parameters, request.parameters)
    return call_grpc(server, "ModelInfer", message)


def call_grpc(server: TritonServer, method: str, message: Any) -> Answer:
    """What the server says to one message."""
    with grpc.insecure_channel(server.endpoints.grpc) as channel:
        try:
            getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)(message, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details() or "")
    return Answer("OK")


def _set_parameters(target: Any, parameters: Mapping[str, Any]) -> None:
    fields = {bool: "bool_param", int: "int64_param", str: "string_param"}
    for key, value in parameters.items():
        setattr(target[key], fields[type(value)], value)


def over_http(server: TritonServer, request: Request) -> Answer:
    """What the server says by HTTP, to the binary form."""
    head = {
        "id": request.id,
        "parameters": dict(request.parameters),
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": tensor.shape,
                "parameters": {"binary_data_size": len(tensor.data), **tensor.parameters},
            }
            for tensor in request.inputs
        ],
        "outputs": [{"name": name} for name in request.outputs],
    }
    text = json.dumps({key: value for key, value in head.items() if value}).encode()
    version = f"/versions/{request.version}" if request.version else ""
    headers = {"Inference-Header-Content-Length": str(len(text))}
    body = text + b"".join(tensor.data for tensor in request.inputs)
    return call_http(server, f"/v2/models/{request.model}{version}/infer", body, headers)


def call_http(
    server: TritonServer, path: str, body: Any = None, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> Answer:
    """What the server says to one request; "CLOSED" if it hangs up."""
    connection = http.client.HTTPConnection(server.endpoints.http, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, dict(headers or {}))
        reply = connection.getresponse()
        text = reply.read().decode(errors="replace")
    except (http.client.HTTPException, ConnectionError) as error:
        return Answer("CLOSED", type(error).__name__)
    finally:
        connection.close()
    return Answer("OK") if reply.status == 200 else Answer(str(reply.status), text)
