"""The two ways to a Triton server, gRPC and HTTP, behind one interface; their failures become ours."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError  # TimeoutError itself from Python 3.11 on
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from tritonclient.utils import InferenceServerException

from tritonface._errors import (
    DeadlineExceededError,
    ImageError,
    InvalidArgumentError,
    ServerError,
    ServerUnavailableError,
)

DEFAULT_URLS = {"grpc": "127.0.0.1:8001", "http": "127.0.0.1:8000"}
OUTPUTS = ("num_detections", "detection_boxes", "detection_scores", "detection_classes")
HTTP_CONNECTIONS = 64

REFUSED = {"StatusCode.INVALID_ARGUMENT", "400"}
UNAVAILABLE = {"StatusCode.UNAVAILABLE", "503"}
DEADLINE = {"StatusCode.DEADLINE_EXCEEDED", "499"}


@dataclass(frozen=True)
class Detections:
    """What the server answers for one image: float32 [K, 4] xyxy px, float32 [K], int32 [K]."""

    boxes_xyxy_px: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int32]


@dataclass(frozen=True)
class ServedModel:
    """What a detector's configuration on the server says.

    Attributes:
        labels: class names by class id.
        img_size: what a side of the network's input may be: {"multiple", "min_px", "max_px"}.
    """

    labels: list[str]
    img_size: dict[str, int]


class Transport:
    """What both protocols share.

    Args:
        url: host:port.
        timeout_s: deadline of every call.
    """

    protocol: str
    _api: Any  # tritonclient.grpc or tritonclient.http
    _broken_connection: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s

    def submit(
        self, model: str, encoded: bytes, threshold: float | None, img_size_wh: tuple[int, int] | None
    ) -> Callable[[], Detections]:
        """Send one image now; calling the returned function waits for its detections."""
        inputs = [self._input("image", "BYTES", np.array([[encoded]], dtype=object))]
        if threshold is not None:
            inputs.append(self._input("threshold", "FP32", np.array([[threshold]], dtype=np.float32)))
        if img_size_wh is not None:
            inputs.append(self._input("img_size", "INT32", np.array([img_size_wh], dtype=np.int32)))
        outputs = [self._api.InferRequestedOutput(name) for name in OUTPUTS]
        with self._own_errors():
            wait = self._send(model, inputs, outputs)

        def detections() -> Detections:
            with self._own_errors():
                reply = wait()
            count, boxes, scores, class_ids = (reply.as_numpy(name)[0] for name in OUTPUTS)
            kept = slice(int(count[0]))
            return Detections(boxes[kept], scores[kept], class_ids[kept])

        return detections

    def describe(self, model: str) -> ServedModel | None:
        """What the server says of a detector; None if it has no such detector."""
        with self._own_errors():
            if model not in self._ready_models():
                return None
            parameters = self._config(model).get("parameters", {})
        try:
            return ServedModel(*(json.loads(parameters[key]["string_value"]) for key in ("labels", "img_size")))
        except KeyError:  # another kind of model, or one step of an ensemble
            return None

    def detectors(self) -> list[str]:
        """The names that `create_model` accepts."""
        with self._own_errors():
            names = self._ready_models()
        return [name for name in names if self.describe(name) is not None]

    def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError

    def _send(self, model: str, inputs: list[Any], outputs: list[Any]) -> Callable[[], Any]:
        raise NotImplementedError

    def _config(self, model: str) -> dict[str, Any]:
        raise NotImplementedError

    def _ready_models(self) -> list[str]:
        raise NotImplementedError

    def _input(self, name: str, data_type: str, value: npt.NDArray[Any]) -> Any:
        tensor = self._api.InferInput(name, list(value.shape), data_type)
        tensor.set_data_from_numpy(value)
        return tensor

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            self._raise_own(error)
        except (TimeoutError, FutureTimeoutError) as error:
            raise self._deadline() from error
        except self._broken_connection as error:
            raise self._unavailable(str(error)) from error

    def _raise_own(self, error: InferenceServerException) -> NoReturn:
        status, message = str(error.status()), re.sub(r"^in ensemble '[^']*', ", "", str(error.message()))
        if status in REFUSED:
            raise ImageError(message) from error
        if status in DEADLINE:
            raise self._deadline() from error
        if status in UNAVAILABLE:
            raise self._unavailable(message) from error
        raise ServerError(f"the server at {self.url} reports: {message}") from error

    def _deadline(self) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"no answer from {self.url} within {self.timeout_s:g} s; pass a larger timeout_s or send less at once"
        )

    def _unavailable(self, reason: str) -> ServerUnavailableError:
        return ServerUnavailableError(
            f"no Triton server answers {self.protocol} at {self.url} ({reason}); start one (`make serve`) or pass its "
            "address as url= (Triton's usual ports: 8001 for gRPC, 8000 for HTTP)"
        )


class GrpcTransport(Transport):
    """gRPC, safe to use from several threads."""

    protocol = "gRPC"

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__(url, timeout_s)
        import tritonclient.grpc

        self._api = tritonclient.grpc
        self._client = self._api.InferenceServerClient(url)

    def _send(self, model: str, inputs: list[Any], outputs: list[Any]) -> Callable[[], Any]:
        future: Future[Any] = Future()

        def finish(result: Any, error: Exception | None) -> None:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._client.async_infer(model, inputs, finish, outputs=outputs, client_timeout=self.timeout_s)
        return future.result

    def close(self) -> None:
        self._client.close()

    def _config(self, model: str) -> dict[str, Any]:
        reply = self._client.get_model_config(model, as_json=True, client_timeout=self.timeout_s)
        config: dict[str, Any] = reply["config"]
        return config

    def _ready_models(self) -> list[str]:
        index = self._client.get_model_repository_index(as_json=True, client_timeout=self.timeout_s)
        return [item["name"] for item in index.get("models", []) if item.get("state") == "READY"]


class HttpTransport(Transport):
    """HTTP. Triton's client belongs to the thread that made it, so every worker thread has its own."""

    protocol = "HTTP"

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__(url, timeout_s)
        import tritonclient.http
        from geventhttpclient.response import HTTPParseError

        self._api = tritonclient.http
        self._broken_connection = (OSError, HTTPParseError)
        self._own = threading.local()
        self._clients: list[Any] = []
        self._workers = ThreadPoolExecutor(HTTP_CONNECTIONS, "tritonface-http")

    def close(self) -> None:
        self._workers.shutdown()
        while self._clients:
            self._clients.pop().close()

    def _send(self, model: str, inputs: list[Any], outputs: list[Any]) -> Callable[[], Any]:
        future = self._workers.submit(lambda: self._client().infer(model, inputs, outputs=outputs))
        return lambda: future.result(self.timeout_s)  # the client's own timeout starts anew with every packet

    def _config(self, model: str) -> dict[str, Any]:
        config: dict[str, Any] = self._workers.submit(lambda: self._client().get_model_config(model)).result()
        return config

    def _ready_models(self) -> list[str]:
        index = self._workers.submit(lambda: self._client().get_model_repository_index()).result()
        return [item["name"] for item in index if item.get("state") == "READY"]

    def _client(self) -> Any:
        if not hasattr(self._own, "client"):
            self._own.client = self._api.InferenceServerClient(
                self.url, connection_timeout=self.timeout_s, network_timeout=self.timeout_s
            )
            self._clients.append(self._own.client)
        return self._own.client


TRANSPORTS: dict[str, type[Transport]] = {"grpc": GrpcTransport, "http": HttpTransport}


def open_transport(url: str | None, protocol: str, timeout_s: float) -> Transport:
    """The transport for a protocol; nothing is sent yet.

    Raises:
        InvalidArgumentError: unknown protocol, a URL instead of host:port, a timeout that is not positive.
    """
    if protocol not in TRANSPORTS:
        raise InvalidArgumentError(f"protocol must be one of {', '.join(map(repr, TRANSPORTS))}, got {protocol!r}")
    if not timeout_s > 0:
        raise InvalidArgumentError(f"timeout_s must be positive, got {timeout_s!r}")
    if url is not None and "://" in url:
        raise InvalidArgumentError(f"url is host:port without a scheme, got {url!r}; choose gRPC or HTTP by protocol=")
    return TRANSPORTS[protocol](url or DEFAULT_URLS[protocol], timeout_s)
