"""`create_model` and the detector it returns."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from types import TracebackType
from typing import Literal

from tritonface._box import Box
from tritonface._errors import ImageError, InvalidArgumentError, ModelNotFoundError, TritonFaceError
from tritonface._inputs import Input, Source, iterate_sources
from tritonface._result import DetectionResult
from tritonface._transport import Detections, ServedModel, Transport, open_transport

OnError = Literal["raise", "yield"]


def create_model(
    model_name: str,
    *,
    img_size: int | Sequence[int] | None = None,
    threshold: float | None = None,
    use_hpip: bool = False,
    url: str | None = None,
    protocol: str = "grpc",
    timeout_s: float = 30.0,
) -> FaceDetector:
    """Connect to a served detector.

    Args:
        model_name: the name of the model on the server, e.g. "BlazeFace".
        img_size: size in pixels to which the network sees every image stretched: one number for a square, or
            [width, height]; the model's own (640) if None.
        threshold: faces with a score <= this are dropped; the model's own default (0.5) if None.
        use_hpip: the high-performance variant of the model, whose boxes and scores differ slightly.
        url: host:port of the server; if None the environment variable TRITONFACE_URL, then 127.0.0.1:8001 for
            gRPC and 127.0.0.1:8000 for HTTP.
        protocol: "grpc" or "http".
        timeout_s: deadline of every call, in seconds.

    Raises:
        InvalidArgumentError: an argument is of no use.
        ModelNotFoundError: the server does not serve this model.
        ServerUnavailableError: nobody answers at the address.
    """
    _check_threshold(threshold)
    transport = open_transport(url or os.environ.get("TRITONFACE_URL"), protocol, timeout_s)
    try:
        served_name = f"{model_name}_hpi" if use_hpip else model_name
        served = transport.describe(served_name)
        if served is None:
            known = ", ".join(transport.detectors()) or "none at all"
            raise ModelNotFoundError(
                f"the server at {transport.url} has no detector {served_name!r}; it has: {known}. A detector is served "
                "once it has weights: train it, or get the published ones with `make official-weights`"
            )
        size_wh = _check_img_size(img_size, served)
    except TritonFaceError:
        transport.close()
        raise
    return FaceDetector(served_name, served.labels, transport, threshold, size_wh)


class FaceDetector:
    """A served face detector; make it with `create_model`. Usable as a context manager."""

    def __init__(
        self,
        model_name: str,
        labels: list[str],
        transport: Transport,
        threshold: float | None,
        img_size_wh: tuple[int, int] | None,
    ) -> None:
        self.model_name = model_name
        self.labels = labels
        self.threshold = threshold
        self.img_size_wh = img_size_wh
        self._transport = transport

    def predict(
        self, input: Input, batch_size: int = 1, threshold: float | None = None, *, on_error: OnError = "raise"
    ) -> Iterator[DetectionResult]:
        """Detect faces, one result per image, in order, lazily.

        Args:
            input: uint8 BGR array [H, W, 3] (or grey [H, W]), path of an image or a directory, or a list of these.
            batch_size: how many images are under way at once; the server merges them into batches.
            threshold: overrides that of `create_model`.
            on_error: what an image that cannot be read does: "raise" ends the run there with an ImageError,
                "yield" gives a result whose `error` is that ImageError, and goes on.

        Raises:
            InvalidArgumentError: at once for the parameters, at its turn for an element of `input`.
            ImageError: see `on_error`.
            ServerUnavailableError, DeadlineExceededError, ServerError: the server did not answer.
        """
        _check_threshold(threshold)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InvalidArgumentError(f"batch_size must be a whole number from 1 on, got {batch_size!r}")
        if on_error not in ("raise", "yield"):
            raise InvalidArgumentError(f"on_error must be 'raise' or 'yield', got {on_error!r}")
        return self._run(input, batch_size, self.threshold if threshold is None else threshold, on_error)

    def close(self) -> None:
        """Close the connection to the server."""
        self._transport.close()

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(
        self, input: Input, batch_size: int, threshold: float | None, on_error: OnError
    ) -> Iterator[DetectionResult]:
        under_way: deque[Callable[[], DetectionResult]] = deque()
        for source in iterate_sources(input):
            under_way.append(self._submit(source, threshold, on_error))
            if len(under_way) == batch_size:
                yield under_way.popleft()()
        while under_way:
            yield under_way.popleft()()

    def _submit(self, source: Source, threshold: float | None, on_error: OnError) -> Callable[[], DetectionResult]:
        """Send one image; the returned function waits for its result, or fails as `on_error` says."""

        def failed(error: ImageError) -> DetectionResult:
            if on_error == "raise":
                raise error
            return DetectionResult(source.input_path, [], index=source.index, encoded=b"", error=error)

        try:
            encoded = source.encode()
        except ImageError as error:
            unreadable = error
            return lambda: failed(unreadable)
        wait = self._transport.submit(self.model_name, encoded, threshold, self.img_size_wh)

        def result() -> DetectionResult:
            try:
                boxes = self._boxes(wait())
            except ImageError as error:
                refused = ImageError(f"the server refuses {source.label}: {error}", source.input_path)
                refused.__cause__ = error.__cause__
                return failed(refused)
            return DetectionResult(source.input_path, boxes, index=source.index, encoded=encoded)

        return result

    def _boxes(self, detections: Detections) -> list[Box]:
        columns = (detections.class_ids, detections.scores, detections.boxes_xyxy_px)
        return [
            Box(cls_id=class_id, label=self.labels[class_id], score=score, coordinate=coordinate)
            for class_id, score, coordinate in zip(*(column.tolist() for column in columns))
        ]


def _check_threshold(threshold: float | None) -> None:
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 <= float(threshold) <= 1:
        raise InvalidArgumentError(f"threshold must be a number between 0 and 1, got {threshold!r}")


def _check_img_size(img_size: int | Sequence[int] | None, served: ServedModel) -> tuple[int, int] | None:
    """(width, height) in pixels, checked against what the served model takes."""
    if img_size is None:
        return None
    sides: list[int] = list(img_size) if isinstance(img_size, (list, tuple)) else [img_size] * 2  # type: ignore[list-item]
    multiple, least, most = (served.img_size[key] for key in ("multiple", "min_px", "max_px"))
    if len(sides) != 2 or not all(
        isinstance(side, int) and least <= side <= most and side % multiple == 0 for side in sides
    ):
        raise InvalidArgumentError(
            f"img_size is a number or [width, height] of whole numbers from {least} to {most}"
            + (f", multiples of {multiple}" if multiple > 1 else "")
            + f"; got {img_size!r}"
        )
    return sides[0], sides[1]
