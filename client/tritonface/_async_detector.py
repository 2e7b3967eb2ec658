"""`create_async_model` and the detector it returns: the asyncio twin of `_detector`, with the same names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any

from tritonface._address import TLS, Address, resolve
from tritonface._fetch import UrlPolicy
from tritonface._inputs import Input
from tritonface._options import Options
from tritonface._request import OnError
from tritonface._result import DetectionResult
from tritonface._run import Run
from tritonface._session import Session, open_session


def create_async_model(
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
) -> Opening:
    """Connect to a served detector; `async with` it or await it. Arguments and errors are those of `create_model`.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     async with create_async_model("BlazeFace") as model:
        ...         async for result in model.predict("photo.jpg"):
        ...             return result["input_path"]
        >>> asyncio.run(main())
        'photo.jpg'
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
    return Opening(resolve(url, protocol, timeout_s, retries, tls, headers), options)


class Opening:
    """A detector to be: `await` it, or enter it with `async with`, which closes the detector at the end."""

    def __init__(self, address: Address, options: Options) -> None:
        self._address = address
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
        return AsyncFaceDetector(await asyncio.wrap_future(open_session(self._address, self._options)))


class AsyncFaceDetector:
    """A served face detector; make it with `create_async_model`. Usable from any task and any event loop.

    Attributes: those of `FaceDetector`.
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
    ) -> AsyncIterator[DetectionResult]:
        """Detect faces, one result per image, in order, lazily: `async for result in model.predict(...)`.

        Arguments and errors are those of `FaceDetector.predict`. Cancelling the task that waits for a result gives up
        all images under way.
        """
        return _results(self._session.run(input, batch_size, threshold, on_error))

    async def close(self) -> None:
        """Close the connection to the server; what is under way fails."""
        await asyncio.get_running_loop().run_in_executor(None, self._session.close)

    async def __aenter__(self) -> AsyncFaceDetector:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _results(run: Run) -> AsyncIterator[DetectionResult]:
    loop = asyncio.get_running_loop()
    try:
        while True:
            future = await loop.run_in_executor(None, run.next)  # it may list a directory
            if future is None:
                return
            yield await asyncio.wrap_future(future)
    finally:
        run.cancel()
