"""`create_model` and the detector it returns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import TypeVar

from tritonface._address import TLS, resolve
from tritonface._errors import InvalidArgumentError
from tritonface._fetch import UrlPolicy
from tritonface._inputs import Input
from tritonface._options import Options
from tritonface._request import OnError
from tritonface._result import DetectionResult
from tritonface._run import Run
from tritonface._session import Session, open_session

T = TypeVar("T")


def create_model(
    model_name: str,
    model_dir: str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    img_size: int | Sequence[int] | None = None,
    threshold: float | None = None,
    use_hpip: bool = False,
    batch_size: int = 1,
    url: str | None = None,
    protocol: str | None = None,
    timeout_s: float | None = None,
    retries: int | None = None,
    tls: TLS | None = None,
    headers: Mapping[str, str] | None = None,
    urls: UrlPolicy | None = None,
    max_side_px: int | None = None,
    timings: bool = False,
    shared_memory: bool = False,
) -> FaceDetector:
    """Connect to a served detector.

    Args:
        model_name: the name of the model on the server, e.g. "BlazeFace".
        model_dir: a folder made by `training/main.py -o Global.mode=export`, whose network is to be served; the
            server must allow it, and must have a model `model_name` whose other steps it shares.
        device: "cpu", "gpu" or "gpu:0": refuse a server that runs the model elsewhere; None takes any.
        img_size: size in pixels to which the network sees every image stretched: one number for a square, or
            [width, height]; the model's own (640) if None.
        threshold: faces with a score <= this are dropped; the model's own default (0.5) if None.
        use_hpip: the high-performance variant of the model, whose boxes and scores differ slightly.
        batch_size: what `predict` uses if it is not told otherwise.
        url: host:port of the server; if None the environment variable TRITONFACE_URL, then 127.0.0.1:8001 for
            gRPC and 127.0.0.1:8000 for HTTP.
        protocol: "grpc" or "http"; if None TRITONFACE_PROTOCOL, then gRPC.
        timeout_s: deadline in seconds of each image, repetitions included, and of every other call; if None
            TRITONFACE_TIMEOUT_S, then 30.
        retries: how often an image is sent again while the server is unavailable; None for as often as the deadline
            allows. `create_model` itself does not try again, so that a wrong address is told at once.
        tls: encrypts the connection; None for a plain one.
        headers: sent with every call, e.g. {"authorization": "Bearer ..."}.
        urls: what may be fetched when an input is a URL; None for public addresses only.
        max_side_px: images with a longer side are shrunk to this before they are sent, which saves network traffic and
            costs time here; boxes are in the original's pixels all the same. None for never.
        timings: give each result its `timings_ms`.
        shared_memory: hand large images to a server on this machine through shared memory; without effect where the
            server is elsewhere or does not allow it.

    Raises:
        InvalidArgumentError: an argument is of no use.
        ModelNotFoundError: the server does not serve this model.
        ServerUnavailableError: nobody answers at the address.
        ServerError: the server cannot, or may not, serve `model_dir`.

    Example:
        >>> with create_model("BlazeFace", threshold=0.7) as model:
        ...     [result] = model.predict("photo.jpg")
        >>> result["input_path"], len(result["boxes"]) > 10
        ('photo.jpg', True)
    """
    options = Options(
        model_name,
        model_dir,
        device,
        img_size,
        threshold,
        use_hpip,
        batch_size,
        urls,
        max_side_px,
        timings,
        shared_memory,
    )
    return FaceDetector(_wait(open_session(resolve(url, protocol, timeout_s, retries, tls, headers), options)))


class FaceDetector:
    """A served face detector; make it with `create_model`. Usable as a context manager, and from several threads.

    Attributes:
        model_name: the name on the server.
        labels: class names by class id.
        threshold: what `predict` uses if it is not told otherwise; None for the server's own.
        img_size_wh: (width, height) in pixels of the network's input; None for the server's own.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.model_name = session.model_name
        self.labels = session.labels
        self.threshold = session.threshold
        self.img_size_wh = session.img_size_wh

    def predict(
        self,
        input: Input,
        batch_size: int | None = None,
        threshold: float | None = None,
        *,
        on_error: OnError = "raise",
    ) -> Iterator[DetectionResult]:
        """Detect faces, one result per image, in order, lazily.

        Args:
            input: uint8 BGR array [H, W, 3] (or grey [H, W]), path of an image or a directory, http(s) URL, or a list
                of these. An array must not change before its result is there.
            batch_size: how many images are under way at once; that of `create_model` (1) if None.
            threshold: overrides that of `create_model`.
            on_error: what an image that cannot be read does: "raise" ends the run there with an ImageError,
                "yield" gives a result whose `error` is that ImageError, and goes on.

        Raises:
            InvalidArgumentError: at once for the parameters, at its turn for an element of `input`.
            ImageError: see `on_error`.
            ServerUnavailableError, DeadlineExceededError, ServerError: the server did not answer.
            ModelNotFoundError: the server does not serve the model any more.

        Example:
            >>> with create_model("BlazeFace") as model:
            ...     for result in model.predict(["photo.jpg", "photo.jpg"], batch_size=2):
            ...         print(sorted(result["boxes"][0]))
            ['cls_id', 'coordinate', 'label', 'score']
            ['cls_id', 'coordinate', 'label', 'score']
        """
        return _results(self._session.run(input, batch_size, threshold, on_error))

    def close(self) -> None:
        """Close the connection to the server; what is under way fails."""
        self._session.close()

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _results(run: Run) -> Iterator[DetectionResult]:
    try:
        while (future := run.next()) is not None:
            yield _wait(future)
    finally:
        run.cancel()


def _wait(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise InvalidArgumentError("the model was closed while an image was under way") from None
    except BaseException:  # Ctrl-C leaves nothing behind
        future.cancel()
        raise
