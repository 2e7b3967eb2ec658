"""Failures of a connection as exceptions of ours, with a remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tritonface._connection import Connection
from tritonface._errors import (
    DeadlineExceededError,
    ImageError,
    InvalidArgumentError,
    ModelNotFoundError,
    ModelProcessError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
    TritonFaceError,
)

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException

REASON_CHARACTERS = 200
REFUSED = {"StatusCode.INVALID_ARGUMENT", "400"}
IMAGE_REFUSED = "image refused: "
"""How our server's message begins when the image is at fault, and not another part of the request."""
FORBIDDEN = {"StatusCode.PERMISSION_DENIED", "StatusCode.UNAUTHENTICATED", "401", "403"}
NOT_FOUND = {"StatusCode.NOT_FOUND", "404"}
UNAVAILABLE = {"StatusCode.UNAVAILABLE", "503"}
BUSY = re.compile(
    r"no available versions|queue size|is not ready|[Ss]erver is stopping|server is busy|too many requests|is not there"
)
"""What a server, or a gateway, says that is full, starting or, as it has unloaded its models already, stopping."""
DIED = re.compile(r"[Ss]tub process.*(not healthy|unhealthy)")
"""What a server says whose process of a model has died, until its launcher has the model loaded anew."""
NOT_TRITON = "while decoding the response"  # tritonclient on an answer that is not Triton's JSON
DEADLINE = {"StatusCode.DEADLINE_EXCEEDED", "499", "504"}


def reported(error: InferenceServerException, connection: Connection) -> TritonFaceError:
    """What a failure that the server, or gRPC, has reported is to a caller."""
    status, message = str(error.status()), re.sub(r"^in ensemble '[^']*', ", "", str(error.message()))
    if NOT_TRITON in message:
        return unavailable(connection, f"what answers there is not Triton: HTTP status {status}")
    if status not in REFUSED and DIED.search(message):
        return ModelProcessError(f"the process of a model at {connection.url} has died: {message}")
    if status not in REFUSED and BUSY.search(message):
        return ServerBusyError(f"the server at {connection.url} cannot take the request now: {message}")
    if status in FORBIDDEN or "restricted" in message:
        return ServerError(
            f"the server at {connection.url} does not allow this: {message}; pass the key it expects as "
            "connection=Connection(key=), or the header of a gateway as headers="
        )
    if status in NOT_FOUND:
        return ModelNotFoundError(f"the server at {connection.url} reports: {message}")
    if status in REFUSED and message.startswith(IMAGE_REFUSED):
        return ImageError(message[len(IMAGE_REFUSED) :])
    if status in REFUSED:
        return InvalidArgumentError(f"the server at {connection.url} refuses the request: {message}")
    if status in DEADLINE:
        return late(connection)
    if status in UNAVAILABLE:
        return unavailable(connection, message)
    return ServerError(f"the server at {connection.url} reports: {message}")


def late(connection: Connection) -> DeadlineExceededError:
    """No answer in time."""
    return DeadlineExceededError(
        f"no answer from {connection.url} within {connection.timeout_s:g} s; pass a larger "
        "connection=Connection(timeout_s=) or send less at once"
    )


def unavailable(connection: Connection, reason: str) -> ServerUnavailableError:
    """Nobody, or somebody else, answers."""
    name = {"grpc": "gRPC", "http": "HTTP"}[connection.protocol]
    short = next(iter(reason.strip().splitlines()), "no reason given")[:REASON_CHARACTERS]
    return ServerUnavailableError(
        f"no Triton server answers {name} at {connection.url} ({short}); start one (`make serve`) or "
        "pass its address as url= (Triton's usual ports: 8001 for gRPC, 8000 for HTTP)"
    )
