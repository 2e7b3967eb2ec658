"""One image's way: loaded, sent, repeated where needed, its answer made a result. Without any waiting of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tritonface._box import Box
from tritonface._client import Client
from tritonface._errors import ImageError, ModelNotFoundError, ServerError, TritonFaceError
from tritonface._fetch import UrlPolicy
from tritonface._fleet import Call, Fleet
from tritonface._image_file import CUT_OFF_REFUSED
from tritonface._images import Payload
from tritonface._inputs import Source
from tritonface._limits import MIN_TILE_SIDE_PX
from tritonface._result import DetectionResult
from tritonface._retry import with_retries

OnError = Literal["raise", "yield"]
OUTPUTS = ("num_detections", "detection_boxes", "detection_scores", "detection_classes", "warning")

log = logging.getLogger("tritonface")


@dataclass(frozen=True)
class Rules:
    """What is the same for all images of a `predict` call.

    Attributes:
        model: the name on the server.
        labels: class names by class id.
        threshold: None for the server's own.
        img_size_wh: size of the network's input in pixels; None for the server's own.
        tile_wh: size of tiles in pixels of the image; None for none.
        on_error: what an image that cannot be read does, see `predict`.
        max_side_px: larger images are shrunk to this before they are sent; None for never.
        strict: images that are cut off are refused.
        run_id: the beginning of the ids of all requests.
        headers: sent with each of them, beside those of the connection.
        load_again: puts the model on a server that does not have it any more; None if that is not ours to do.
    """

    model: str
    labels: list[str]
    threshold: float | None
    img_size_wh: tuple[int, int] | None
    tile_wh: tuple[int, int] | None
    on_error: OnError
    urls: UrlPolicy
    max_side_px: int | None
    timings: bool
    strict: bool
    run_id: str
    headers: Mapping[str, str]
    load_again: Call[None] | None


async def detect(fleet: Fleet, source: Source, rules: Rules) -> DetectionResult:
    """The result of one image; `timeout_s` of the connection holds for sending and its repetitions.

    Raises:
        ImageError: the image cannot be read, or the server refuses it (with `on_error="raise"`).
        ServerUnavailableError, DeadlineExceededError, ServerError: the server did not answer.
    """
    request_id = f"{rules.run_id}-{source.index}"
    began = time.perf_counter()
    try:
        payload = await source.load(rules.urls, rules.max_side_px)
        if rules.strict and payload.warning:
            raise ImageError(f"cannot read {source.label}: {CUT_OFF_REFUSED}", source.input_path)
    except ImageError as error:
        return _failed(error, source, rules, request_id)
    loaded = time.perf_counter()
    try:
        boxes, warning = await _boxes(fleet, payload, rules, request_id)
    except ImageError as error:
        refused = ImageError(f"the server refuses {source.label}: {error}", source.input_path)
        refused.__cause__ = error.__cause__
        refused.request_id = request_id
        return _failed(refused, source, rules, request_id)
    except TritonFaceError as error:
        error.request_id = request_id
        raise
    answered = time.perf_counter()
    log.debug("request %s: %s, %d faces, %.1f ms", request_id, source.label, len(boxes), 1e3 * (answered - began))
    if warning:
        log.warning("%s: %s", source.label, warning)
    stages = {"encode": loaded - began, "wait": answered - loaded, "total": answered - began}
    return DetectionResult(
        source.input_path,
        boxes,
        file_name=source.file_name,
        origin=_origin(source, request_id),
        encoded=payload.original,
        request_id=request_id,
        timings_ms={name: 1e3 * seconds for name, seconds in stages.items()} if rules.timings else None,
        warning=warning,
    )


async def _boxes(fleet: Fleet, payload: Payload, rules: Rules, request_id: str) -> tuple[list[Box], str | None]:
    """The faces, and what the server, or who shrunk the image, says of it."""
    others: dict[str, npt.NDArray[Any]] = {}
    if rules.threshold is not None:
        others["threshold"] = np.array([[rules.threshold]], dtype=np.float32)
    if rules.img_size_wh is not None:
        others["img_size"] = np.array([rules.img_size_wh], dtype=np.int32)
    if rules.tile_wh is not None:
        tile_wh = np.maximum(np.rint(np.divide(rules.tile_wh, payload.scale_xy)), MIN_TILE_SIDE_PX)
        others["tiles"] = tile_wh.astype(np.int32)[None]
    if rules.strict:
        others["strict"] = np.array([[True]])

    async def infer(client: Client, timeout_s: float) -> list[npt.NDArray[Any]]:
        deadline_s = time.monotonic() + timeout_s
        try:
            return await client.infer(rules.model, payload.sent, others, OUTPUTS, request_id, timeout_s, rules.headers)
        except ModelNotFoundError:
            if rules.load_again is None:
                raise
        await rules.load_again(client, max(deadline_s - time.monotonic(), 1e-3))
        left_s = max(deadline_s - time.monotonic(), 1e-3)
        return await client.infer(rules.model, payload.sent, others, OUTPUTS, request_id, left_s, rules.headers)

    connection, turn = fleet.connection, fleet.turns.next()
    reply = await with_retries(
        partial(turn.ask, partial(fleet.ask, infer)),
        connection.timeout_s,
        connection.retries,
        f"request {request_id}",
        turn.pause,
    )
    count, boxes, scores, class_ids, warning = (tensor[0] for tensor in reply)
    kept = slice(int(count[0]))
    scaled = boxes[kept] * np.array(payload.scale_xy * 2, np.float32)  # float32 [K, 4] xyxy px of the original
    try:
        faces = [
            Box(cls_id=class_id, label=rules.labels[class_id], score=score, coordinate=coordinate)
            for class_id, score, coordinate in zip(class_ids[kept].tolist(), scores[kept].tolist(), scaled.tolist())
        ]
    except IndexError:
        raise ServerError(
            f"{rules.model!r} answers with class {max(class_ids[kept])}, but has {len(rules.labels)} labels"
        ) from None
    return faces, warning[0].decode() or payload.warning


def _failed(error: ImageError, source: Source, rules: Rules, request_id: str) -> DetectionResult:
    if rules.on_error == "raise":
        raise error
    return DetectionResult(
        source.input_path,
        [],
        file_name=source.file_name,
        origin=_origin(source, request_id),
        encoded=b"",
        error=error,
        request_id=error.request_id,
    )


def _origin(source: Source, request_id: str) -> str:
    """What tells this image from others when results are saved."""
    return str(source.origin) if source.has_a_name else request_id
