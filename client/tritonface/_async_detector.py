"""`create_async_model` and the detector it returns: the asyncio twin of `_detector`, with the same names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from tritonface._detector import _open_again
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
def create_async_model(options: Options) -> Opening:
    """Connect to a served detector; `async with` it or await it. Arguments and errors are those of `create_model`.

    Examples:
        >>> import asyncio
        >>> async def main():
        ...     async with create_async_model("BlazeFace") as model:
        ...         async for result in model.predict("photo.jpg"):
        ...             return result["input_path"]
        >>> asyncio.run(main())
        'photo.jpg'
    """
    return Opening(options)


class Opening:
    """A detector to be: `await` it, or enter it with `async with`, which closes the detector at the end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._model: AsyncFaceDetector | None = None

    def __await__(self) -> Generator[Any, None, AsyncFaceDetector]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncFaceDetector:
        self._model = await self._open()
        return self._model

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._model is not None:
            await self._model.close()

    async def _open(self) -> AsyncFaceDetector:
        return AsyncFaceDetector(await _wait(open_session(self._options)))


class AsyncFaceDetector:
    """A served face detector; make it with `create_async_model`. Usable from any task and any event loop.

    Attributes: those of `FaceDetector`. Pickling is as there; unpickling it waits for the connection.
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
    ) -> AsyncIterator[DetectionResult]:
        """Detect faces, one result per image, in order, lazily: `async for result in model.predict(...)`.

        Arguments and errors are those of `FaceDetector.predict`. Cancelling the task that waits for a result gives up
        all images under way.
        """
        return _results(self._session.run(input, batch_size, threshold, on_error, tiles))

    __call__ = predict

    def predict_video(
        self, source: VideoInput, batch_size: Whole = UNDER_WAY, threshold: Number | None = None
    ) -> AsyncIterator[VideoFrame]:
        """Detect faces in each picture of a video or camera, in order, lazily: `async for frame in ...`.

        Arguments and errors are those of `FaceDetector.predict_video`. The video is decoded in a thread.
        """
        video = VideoSources(checked_video(source))
        return _frames(self._session.run_sources(iter(video), batch_size, threshold, "raise"), video.shown)

    async def close(self) -> None:
        """Close the connection to the server; what is under way fails."""
        await asyncio.get_running_loop().run_in_executor(None, self._session.close)

    async def __aenter__(self) -> AsyncFaceDetector:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (AsyncFaceDetector, self._session.options)


async def _results(run: Run) -> AsyncGenerator[DetectionResult, None]:
    loop = asyncio.get_running_loop()
    try:
        while True:
            future = await loop.run_in_executor(None, run.next)  # it may list a directory
            if future is None:
                return
            yield await _wait(future)
    finally:
        run.cancel()


async def _frames(run: Run, shown: Shown) -> AsyncIterator[VideoFrame]:
    results = _results(run)
    try:
        async for result in results:
            yield VideoFrame(*shown.popleft(), result)
    finally:
        await results.aclose()


async def _wait(future: Future[T]) -> T:
    """The result; InvalidArgumentError if the model is closed meanwhile, which cancels the future, but not the task."""
    wrapped = asyncio.wrap_future(future)
    try:
        await asyncio.wait([wrapped])
    except asyncio.CancelledError:
        future.cancel()
        raise
    if wrapped.cancelled():
        raise InvalidArgumentError(CLOSED)
    return wrapped.result()
