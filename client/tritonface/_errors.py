"""Every exception a caller can meet.

TritonFaceError
├── InvalidArgumentError     (ValueError)       an argument of the call is of no use, here or to the server
├── ImageError               (ValueError)       one image cannot be read or fetched here, or is refused by the server
├── ModelNotFoundError       (LookupError)      the server does not serve this model
├── ServerUnavailableError   (ConnectionError)  nobody answers at the address
│   ├── ServerBusyError                         somebody does, but cannot take the request now
│   └── ModelProcessError                       the process of a model has died; it is brought back
├── DeadlineExceededError    (TimeoutError)     no answer within `timeout_s`
└── ServerError              (RuntimeError)     anything else the server reports
"""

from __future__ import annotations


class TritonFaceError(Exception):
    """The root of all exceptions of this package.

    Attributes:
        request_id: the id under which the server's log knows the request that failed, the end of the message;
            None if none was sent.
    """

    request_id: str | None = None

    @property
    def message(self) -> str:
        """What has happened, without the request's id."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.message} [request {self.request_id}]" if self.request_id else self.message


class InvalidArgumentError(TritonFaceError, ValueError):
    """An argument of the call is of no use, here or to the server; never about one image."""


class ImageError(TritonFaceError, ValueError):
    """One image cannot be read or fetched here, or is refused by the server.

    Attributes:
        input_path: the image's path or URL; None for an array.
    """

    def __init__(self, message: str, input_path: str | None = None) -> None:
        super().__init__(message)
        self.input_path = input_path


class ModelNotFoundError(TritonFaceError, LookupError):
    """The server does not serve this model."""


class ServerUnavailableError(TritonFaceError, ConnectionError):
    """Nobody answers at the address."""


class ServerBusyError(ServerUnavailableError):
    """The server answers that it cannot take the request now: it is full, starting or stopping."""


class ModelProcessError(ServerUnavailableError):
    """The process of a model has died; the server's launcher brings it back."""


class DeadlineExceededError(TritonFaceError, TimeoutError):
    """No answer within `timeout_s`."""


class ServerError(TritonFaceError, RuntimeError):
    """Anything else the server reports."""
