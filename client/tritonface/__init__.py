"""Face detection by a Triton server, with the API of PaddleX: `create_model(...).predict(...)`."""

from tritonface._box import Box
from tritonface._errors import (
    DeadlineExceededError,
    ImageError,
    InvalidArgumentError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    TritonFaceError,
)
from tritonface._model import FaceDetector, create_model
from tritonface._result import DetectionResult

__all__ = [
    "Box",
    "DeadlineExceededError",
    "DetectionResult",
    "FaceDetector",
    "ImageError",
    "InvalidArgumentError",
    "ModelNotFoundError",
    "ServerError",
    "ServerUnavailableError",
    "TritonFaceError",
    "create_model",
]

__version__ = "0.1.0"
