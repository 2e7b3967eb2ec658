"""Faces from a Triton server, by the SDK."""

from __future__ import annotations

from pathlib import Path

import tritonface
from training.evaluation.detect import LOW_THRESHOLD, DetectError
from tritonface_server.detections import Detections
from tritonface_server.images import ImageError

TIMEOUT_S = 60.0


class Served:
    """Asks a server over gRPC; a context manager.

    Args:
        url: host:port.
        model: the name of a detector on it, e.g. "BlazeFace_hpi".
        size_wh: the network's input in pixels; the model's own if None.
        tile_wh: the tiles into which the server cuts large photos, in their pixels; None for none.

    Raises:
        DetectError: nobody answers, the server has no such detector, or it does not take these sizes.
    """

    source = "served"

    def __init__(
        self,
        url: str,
        model: str,
        size_wh: tuple[int, int] | None = None,
        tile_wh: tuple[int, int] | None = None,
    ) -> None:
        connection = tritonface.Connection(url, "grpc", timeout_s=TIMEOUT_S)
        try:
            self._model = tritonface.create_model(
                model, connection=connection, img_size=size_wh, tiles=tile_wh, threshold=LOW_THRESHOLD
            )
        except tritonface.TritonFaceError as error:
            raise DetectError(str(error)) from error
        own_size_wh = size_wh or self._model.input_size_wh
        if own_size_wh is None:
            self._model.close()
            raise DetectError(f"{model!r} at {url} does not say its input size; give one")
        self.size_wh: tuple[int, int] = own_size_wh
        self.labels = tuple(self._model.labels)

    def __call__(self, photo: Path) -> Detections:
        try:
            (found,) = self._model.predict(photo)
        except tritonface.ImageError as error:
            raise ImageError(str(error)) from error
        except tritonface.TritonFaceError as error:
            raise DetectError(str(error)) from error
        return Detections(found.xyxy, found.scores, found.class_ids)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()
