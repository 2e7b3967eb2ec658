"""What failures of a connection are to a caller."""

from __future__ import annotations

import pytest
from tritonclient.utils import InferenceServerException

import tritonface
from tritonface import (
    Connection,
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
from tritonface._failures import reported, unavailable

SERVER = Connection("host:1", "grpc", timeout_s=30)


@pytest.mark.parametrize(
    ("status", "message", "kind", "text"),
    [
        ("StatusCode.INVALID_ARGUMENT", "in ensemble 'X', image refused: too large", ImageError, "too large"),
        ("400", "image refused: too large", ImageError, "too large"),
        ("StatusCode.INVALID_ARGUMENT", "in ensemble 'X', threshold must", InvalidArgumentError, "request: threshold"),
        ("400", "img_size is 31x31", InvalidArgumentError, "the server at host:1 refuses the request: img_size is 31"),
        ("400", "unexpected input, image refused: or so", InvalidArgumentError, "refuses the request"),
        (
            "StatusCode.UNAVAILABLE",
            "Socket closed",
            ServerUnavailableError,
            "(Socket closed); start one (`make serve`)",
        ),
        (
            "StatusCode.INTERNAL",
            "Stub process 'X_0_1' is not healthy.",
            ModelProcessError,
            "a model at host:1 has died",
        ),
        ("500", "Stub process 'X_0_1' is not healthy.", ModelProcessError, "a model at host:1 has died: Stub"),
        ("503", "busy\nmore", ServerUnavailableError, "(busy); start one"),
        ("StatusCode.NOT_FOUND", "unknown model 'X' has no available versions", ServerBusyError, "cannot take"),
        ("StatusCode.UNAVAILABLE", "Exceeds maximum queue size", ServerBusyError, "cannot take the request now"),
        ("404", "unknown model 'X' is not found", ModelNotFoundError, "is not found"),
        (
            "StatusCode.UNAVAILABLE",
            "This protocol is restricted",
            ServerError,
            "pass the key it expects as connection=",
        ),
        ("401", "no token", ServerError, "pass the key"),
        ("403", "not for you", ServerError, "pass the key"),
        ("StatusCode.UNAUTHENTICATED", "no token", ServerError, "pass the key"),
        ("StatusCode.PERMISSION_DENIED", "not for you", ServerError, "pass the key"),
        ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceededError, "from host:1 within 30 s"),
        ("499", "", DeadlineExceededError, "from host:1 within 30 s"),
        ("504", "Gateway Time-out", DeadlineExceededError, "from host:1 within 30 s"),
        ("StatusCode.INTERNAL", "broken", ServerError, "host:1 reports: broken"),
        ("None", "", ServerError, "reports"),
        ("501", "an exception while decoding the response: x", ServerUnavailableError, "not Triton: HTTP status 501"),
    ],
)
def test_reports(status: str, message: str, kind: type[TritonFaceError], text: str) -> None:
    error = reported(InferenceServerException(message, status=status), SERVER)
    assert type(error) is kind and text in str(error) and "ensemble" not in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "unknown model 'X' has no available versions",
        "Exceeds maximum queue size",
        "model 'X' is not ready",
        "Server is stopping, scheduler for model 'X' has stopped accepting new inference requests",
        "in ensemble 'X', the server is busy",
        "too many requests",
        "the server is not there",
    ],
)
def test_whoever_is_busy_says_so_in_words_of_its_own(message: str) -> None:
    for status in ("StatusCode.UNAVAILABLE", "StatusCode.NOT_FOUND", "404", "429", "503"):
        assert type(reported(InferenceServerException(message, status=status), SERVER)) is ServerBusyError


@pytest.mark.parametrize("words", ["the server is busy", "Stub process 'X_0_1' is not healthy"])
@pytest.mark.parametrize("status", ["StatusCode.INVALID_ARGUMENT", "400"])
def test_a_refusal_that_repeats_such_words_stays_one(status: str, words: str) -> None:
    """Of a name that a client has sent, for example."""
    for message, kind in ((f"image refused: {words}", ImageError), (f"no '{words}'", InvalidArgumentError)):
        assert type(reported(InferenceServerException(message, status=status), SERVER)) is kind


def test_reasons_are_short() -> None:
    assert len(str(unavailable(SERVER, "x" * 10_000))) < 500
    assert "no reason given" in str(unavailable(SERVER, "\n"))


def test_all_kinds_are_builtin_kinds_too() -> None:
    """So that a caller may catch what Python's own network code raises."""
    for kind, builtin in ((ServerUnavailableError, ConnectionError), (DeadlineExceededError, TimeoutError)):
        assert issubclass(kind, builtin)
    assert issubclass(tritonface.ImageError, ValueError) and issubclass(tritonface.ModelNotFoundError, LookupError)
