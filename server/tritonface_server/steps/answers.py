"""How a step declines a request, and what it asks Triton about one."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from tritonface_server.limits import MAX_REQUEST_BYTES, MAX_REQUEST_ID_BYTES


class RequestError(ValueError):
    """A request that this step does not take; the message is written for its sender."""


class BusyError(Exception):
    """The server cannot take a request now; it may be sent again."""


class GoneError(Exception):
    """Nobody waits for the answer any more."""


class FailedError(Exception):
    """The step failed at a request that it took."""


CODES = {RequestError: "INVALID_ARG", BusyError: "UNAVAILABLE", GoneError: "CANCELLED", FailedError: "INTERNAL"}
DECLINED = (RequestError, BusyError, GoneError)
"""What `declined` answers."""


def declined(error: Exception) -> Any:
    """The response that tells an error of this module."""
    code = getattr(pb_utils.TritonError, CODES[type(error)])  # not there yet when this module is imported
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))


def check_awaited(request: Any) -> None:
    """GoneError if its client has cancelled a request, closed the connection or run out of time."""
    if request.is_cancelled():
        raise GoneError("the client no longer waits for this request")


def check_request_id(request: Any) -> None:
    """RequestError for an id that is too long to be carried along, or no text."""
    try:
        size = len(request.request_id())
    except UnicodeDecodeError:
        raise RequestError("the request's id is not UTF-8") from None
    if size > MAX_REQUEST_ID_BYTES:
        raise RequestError(f"the request's id has {size:,} bytes, the limit is {MAX_REQUEST_ID_BYTES:,}")


def check_bytes(size: int, what: str, remedy: str = "send fewer images in one request") -> None:
    """RequestError for more than one request may hand from step to step."""
    if size > MAX_REQUEST_BYTES:
        raise RequestError(f"{what} are {size:,} bytes, the limit is {MAX_REQUEST_BYTES:,} a request; {remedy}")
