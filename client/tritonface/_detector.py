"""`create_model` and the detector it returns."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, TypeVar

from tritonface._errors import InvalidArgumentError
from tritonface._inputs import Input
from tritonface._numbers import Number, Whole
from tritonface._options import Options, Size, takes
from tritonface._request import OnError
from tritonface._result import DetectionResult
from tritonface._run import Run
from tritonface._session import CLOSED, Session, open_session
from tritonface._video import UNDER_WAY, Shown, VideoFrame, VideoSources, checked_video
from tritonface._video_file import VideoInput

T = TypeVar("T")


@takes(Options)
def create_model(options: Options) -> FaceDetector:
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
        url: host:port of the server, or a list of these for several, see `Connection`, for which it is short; if None
            that of the environment (TRITONFACE_URL), then 127.0.0.1:8001.
        protocol: "grpc" or "http"; if None that of the environment (TRITONFACE_PROTOCOL), then gRPC.
        connection: server, deadline, repetitions, TLS, headers, shared memory: see `Connection`.
        urls: what may be fetched when an input is a URL; None for public addresses only.
        max_side_px: images with a longer side are shrunk to this before they are sent, which saves network traffic and
            costs time here; boxes are in the original's pixels all the same. None for never.
        timings: give each result its `timings_ms`.
        strict: refuse an image whose file is cut off, instead of a result with a `warning`.
        tiles: for small faces in large images: each image is looked at as a whole and in overlapping tiles of this
            size, a number of its pixels or [width, height], 31 tiles at most; the server cuts and merges. None for no
            tiles.
        pp_option: of PaddleX, which has it for networks that run in the caller's process; only None.
        hpi_config: the same.

    Raises:
        InvalidArgumentError: an argument is of no use.
        ModelNotFoundError: the server does not serve this model.
        ServerUnavailableError: nobody answers at the address.
        ServerError: the server cannot, or may not, serve `model_dir`.

    Examples:
        >>> with create_model("BlazeFace", threshold=0.7) as model:
        ...     [result] = model.predict("photo.jpg")
        >>> result["input_path"], len(result) > 10
        ('photo.jpg', True)
    """
    return FaceDetector(_wait(open_session(options)))


class FaceDetector:
    """A served face detector; make it with `create_model`. Usable as a context manager, and from several threads.

    Pickled, it is the arguments it was made with, headers included; unpickled, it connects anew.

    Attributes:
        model_name: the name on the server.
        labels: class names by class id.
        threshold: what `predict` uses if it is not told otherwise; None for the server's own.
        img_size_wh: (width, height) in pixels that is asked for as the network's input; None for the server's own.
        input_size_wh: (width, height) in pixels of the network's input, asked for or the server's own; None if the
            server does not say.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.model_name = session.model_name
        self.labels = session.labels
        self.threshold = session.threshold
        self.img_size_wh = session.img_size_wh
        self.input_size_wh = session.input_size_wh

    def predict(
        self,
        input: Input,
        batch_size: Whole | None = None,
        threshold: Number | None = None,
        *,
        on_error: OnError = "raise",
        tiles: Size | None = None,
    ) -> Iterator[DetectionResult]:
        """Detect faces, one result per image, in order, lazily. `model(...)` is the same.

        Args:
            input: uint8 BGR array [H, W, 3] (or grey [H, W]), path of an image or a directory, http(s) or data URL, or
                a list of these. An array must not change before its result is there.
            batch_size: how many images are under way at once; that of `create_model` (1) if None.
            threshold: overrides that of `create_model`.
            on_error: what an image that cannot be read does: "raise" ends the run there with an ImageError,
                "yield" gives a result whose `error` is that ImageError, and goes on.
            tiles: overrides that of `create_model`.

        Raises:
            InvalidArgumentError: at once for the parameters, at its turn for an element of `input`.
            ImageError: see `on_error`.
            ServerUnavailableError, DeadlineExceededError, ServerError: the server did not answer.
            ModelNotFoundError: the server does not serve the model any more.

        Examples:
            >>> with create_model("BlazeFace") as model:
            ...     for result in model.predict(["photo.jpg", "photo.jpg"], batch_size=2):
            ...         print(sorted(result["boxes"][0]))
            ['cls_id', 'coordinate', 'label', 'score']
            ['cls_id', 'coordinate', 'label', 'score']
        """
        return _results(self._session.run(input, batch_size, threshold, on_error, tiles))

    __call__ = predict

    def predict_video(
        self, source: VideoInput, batch_size: Whole = UNDER_WAY, threshold: Number | None = None
    ) -> Iterator[VideoFrame]:
        """Detect faces in each picture of a video or camera, in order, lazily.

        No more than `batch_size` pictures are held here, however long the video; nothing is read ahead of them.

        Args:
            source: path of a video file, or the number of a camera of this machine (Linux).
            batch_size: how many pictures are under way at once.
            threshold: overrides that of `create_model`.

        Raises:
            InvalidArgumentError: at once for the parameters; at the first picture if PyAV is not installed
                (`pip install tritonface[video]`).
            ImageError: at the first picture: no such file or camera, not a video, or nothing can be decoded.
            ServerUnavailableError, DeadlineExceededError, ServerError, ModelNotFoundError: as `predict`.

        Example:
            >>> with create_model("BlazeFace") as model:
            ...     for frame in model.predict_video("film.mp4"):
            ...         print(frame.index, frame.time_s, frame.image.shape, len(frame.result) > 0)
            0 0.0 (240, 320, 3) True
            1 0.04 (240, 320, 3) True
            2 0.08 (240, 320, 3) True
        """
        video = VideoSources(checked_video(source))
        return _frames(self._session.run_sources(iter(video), batch_size, threshold, "raise"), video.shown)

    def close(self) -> None:
        """Close the connection to the server; what is under way fails."""
        self._session.close()

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (FaceDetector, self._session.options)


def _open_again(kind: type[T], options: Options) -> T:
    """What was pickled, a detector or its asyncio twin, in another process."""
    make: Any = kind
    detector: T = make(_wait(open_session(options)))
    return detector


def _results(run: Run) -> Generator[DetectionResult, None, None]:
    try:
        while (future := run.next()) is not None:
            yield _wait(future)
    finally:
        run.cancel()


def _frames(run: Run, shown: Shown) -> Iterator[VideoFrame]:
    with contextlib.closing(_results(run)) as results:
        for result in results:
            yield VideoFrame(*shown.popleft(), result)


def _wait(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise InvalidArgumentError(CLOSED) from None
    except BaseException:  # Ctrl-C leaves nothing behind
        future.cancel()
        raise
