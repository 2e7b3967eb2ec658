"""Face detection by a Triton server, with the API of PaddleX: `create_model(...).predict(...)`."""

import typing

from tritonface._async_detector import AsyncFaceDetector, create_async_model
from tritonface._box import Box
from tritonface._connection import TLS, Connection
from tritonface._detector import FaceDetector, create_model
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
from tritonface._fetch import UrlPolicy
from tritonface._result import DetectionResult
from tritonface._video import VideoFrame

__all__ = [
    "TLS",
    "AsyncFaceDetector",
    "Box",
    "Connection",
    "DeadlineExceededError",
    "DetectionResult",
    "FaceDetector",
    "ImageError",
    "InvalidArgumentError",
    "ModelNotFoundError",
    "ModelProcessError",
    "ServerBusyError",
    "ServerError",
    "ServerUnavailableError",
    "TritonFaceError",
    "UrlPolicy",
    "VideoFrame",
    "create_async_model",
    "create_model",
]

__version__: str

if not typing.TYPE_CHECKING:  # a type checker would take every name for one of the package's

    def __getattr__(name: str) -> str:
        if name == "__version__":
            from importlib.metadata import version  # it takes a while, and few ask

            return version("tritonface")
        raise AttributeError(f"module 'tritonface' has no attribute {name!r}")
