"""First step: encoded images in, stretched uint8 BGR pictures, or their tiles, and their sizes out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tritonface_server.admission import NO_TICKET, POLL_INTERVAL_S, Budget, Ledger, NoRoomError, fits, server_name
from tritonface_server.cpus import usable_cpus
from tritonface_server.image_file import CUT_OFF
from tritonface_server.images import (
    IMAGE_REFUSED,
    ImageError,
    OpenedImage,
    SizeError,
    check_network_size,
    decode_stored,
    fit,
    limit_threads,
    open_image,
    resize,
    turned,
)
from tritonface_server.limits import MAX_REQUEST_ENCODED_BYTES
from tritonface_server.memory import LARGE_BYTES, release_freed_memory
from tritonface_server.metrics import IMAGES_REFUSED
from tritonface_server.steps.answers import (
    DECLINED,
    BusyError,
    FailedError,
    RequestError,
    check_awaited,
    check_bytes,
    check_request_id,
)
from tritonface_server.steps.parameters import read_parameters
from tritonface_server.steps.report import StepReport
from tritonface_server.steps.waiting import QueueWait
from tritonface_server.tiles import check_tile_size, cut, frames_of, places_of

PATIENCE_S = 5.0
"""How long a request may wait for room after it has left Triton's queue."""
USUAL_TIMES, USUAL_TIMES_ALONE = 1.5, 1 / 8
"""A request that has a timeout is taken if that leaves so much of the usual time; most of the rest would come late. One
that is alone is tried unless it has no chance: what is usual may be another detector's time, five times as long, and
only answers teach that it no longer is."""

MOST_THREADS = 2
"""Resize a picture of a request that is alone on the server; those of several processes would fight for the cores. The
process starts and ends the second one when that changes, which takes .1 ms of the .3 that it saves."""


class TritonPythonModel:
    """Triton's interface; one request holds one or several images, all for one network input size.

    Of a request with `tiles`, a single image, come a picture of all of it and one of each tile.

    A bad image alone in its request is refused with INVALID_ARGUMENT, as a wrong request is. Among others it leaves
    them intact: its row of `image_error` says what is wrong, and its sizes are zero, so that no face comes out of it.
    One that is cut off is told in `image_warning`, or refused where `strict` is set.
    """

    def initialize(self, args: dict[str, str]) -> None:
        parameters = read_parameters(args["model_config"])
        self.input_size_wh = tuple(parameters["input_size_wh"])
        self.size_multiple = parameters["size_multiple"]
        self.interpolation = parameters["interpolation"]
        self.scaled_decoding = parameters.get("scaled_decoding", False)
        self.budget = Budget(*parameters["budget"])
        self.ledger = Ledger(server_name())
        self.report = StepReport(args["model_name"], self.ledger.under_way)
        config = json.loads(args["model_config"])
        self.warm_ups = len(config["model_warmup"])
        self.processes = sum(group["count"] for group in config["instance_group"])
        self.queue = QueueWait(config["dynamic_batching"]["default_queue_policy"]["max_queue_size"] // self.processes)
        self.threads = min(usable_cpus(), MOST_THREADS)

    def finalize(self) -> None:
        self.report.close()
        self.ledger.close()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            return self._respond(request)
        except Exception as error:  # Triton would tell the client the lines of code
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            return self.report.declined(request, FailedError(f"preprocessing failed: {reason}"))
        finally:
            self.queue.done()

    def _respond(self, request: Any) -> Any:
        try:
            check_request_id(request)
            size_wh = self._network_size_wh(request)
            encoded_images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()[:, 0]
            strict = pb_utils.get_input_tensor_by_name(request, "strict")
            strict = np.zeros(len(encoded_images), bool) if strict is None else strict.as_numpy()[:, 0]
            frames = self._frames(request, encoded_images, strict)
            count = len(encoded_images) if frames is None else len(frames)
            _check_sizes(encoded_images, size_wh, count)
            size_bytes = picture_bytes(count, size_wh)
            with self._room(request, size_bytes) as ticket:
                alone = self.ledger.under_way().requests == 1
                limit_threads(self.threads if alone else 1)
                if frames is None:
                    tensors = self._pictures(encoded_images, strict, size_wh)
                else:
                    tensors = self._tiles(request, encoded_images[0], frames, size_wh)
                response = _response(request, tensors, ticket)
            if "ticket" not in request.requested_output_names():
                self.ledger.give_back(ticket, answered=False)
            if size_bytes > LARGE_BYTES:
                release_freed_memory()
            return response
        except ImageError as error:
            return self.report.declined(request, RequestError(f"{IMAGE_REFUSED}{error}"), reason="image")
        except SizeError as error:
            return self.report.declined(request, RequestError(str(error)))
        except DECLINED as error:
            return self.report.declined(request, error)

    def _network_size_wh(self, request: Any) -> tuple[int, int]:
        tensor = pb_utils.get_input_tensor_by_name(request, "img_size")
        if tensor is None:
            return self.input_size_wh
        sizes_wh = {tuple(size_wh) for size_wh in tensor.as_numpy().tolist()}
        if len(sizes_wh) > 1:
            raise SizeError(
                f"the images of one request need one img_size, got {sorted(sizes_wh)}; send several requests"
            )
        (size_wh,) = sizes_wh
        check_network_size(size_wh, self.size_multiple)
        return size_wh

    @contextmanager
    def _room(self, request: Any, size_bytes: int) -> Iterator[int]:
        """A ticket for what the last step will free, or the block if it fails.

        Raises:
            BusyError: there is no room, or none before the request's `timeout`.
            GoneError: nobody waits any more.
        """
        if self.warm_ups:  # by Triton, of this step alone: nobody would give its ticket back
            self.warm_ups -= 1
            yield NO_TICKET
            return
        used = self.ledger.under_way()
        if used.requests:  # else it has not waited; asking takes .1 ms
            check_awaited(request)
        timeout_s = request.timeout() / 1e6 or np.inf
        begin_s = time.monotonic()
        queued_s = self.queue.taken(server_full=not fits(size_bytes, used, self.budget, self.processes))
        left_s, times = timeout_s - queued_s, USUAL_TIMES if used.requests else USUAL_TIMES_ALONE
        self._check_time(left_s, times, size_bytes)
        try:
            patience_s = min(PATIENCE_S, timeout_s)
            with self.ledger.room(size_bytes, self.budget, patience_s, lambda: check_awaited(request)) as ticket:
                waited_s = time.monotonic() - begin_s
                self.report.spent("wait", waited_s)
                self._check_time(left_s - waited_s, times)
                if waited_s > POLL_INTERVAL_S:
                    check_awaited(request)
                yield ticket
        except NoRoomError:
            raise BusyError(
                "the server is busy; send the request again, after a pause that doubles each time"
            ) from None

    def _check_time(self, left_s: float, usual_times: float, size_bytes: int = 0) -> None:
        """BusyError if a request, of this size beside what is under way, would hardly be answered in the time left."""
        if left_s < np.inf and usual_times * self.ledger.usual_s(size_bytes) > left_s:
            raise BusyError("the server is busy and could not answer before the request's timeout; send it again later")

    def _frames(self, request: Any, encoded_images: np.ndarray, strict: np.ndarray) -> np.ndarray | None:
        """What of the image is looked at, by its header, see `frames_of`; None for nothing but all of it."""
        tensor = pb_utils.get_input_tensor_by_name(request, "tiles")
        if tensor is None:
            return None
        tile_wh, count = tuple(tensor.as_numpy()[0].tolist()), len(encoded_images)
        check_tile_size(tile_wh)
        if count > 1:
            raise RequestError(f"a request with tiles has one image, this one has {count}; send one for each image")
        with self._refusals_counted():
            frames = frames_of(open_image(encoded_images[0], strict[0]).header.upright_wh, tile_wh)
        return frames if len(frames) > 1 else None

    def _pictures(
        self, encoded_images: np.ndarray, strict: np.ndarray, size_wh: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        tensors = _empty(len(encoded_images), size_wh)
        pictures, sizes_wh, errors, warnings = tensors.values()
        for i, encoded in enumerate(encoded_images):
            try:
                opened, stored = self._decoded(encoded, strict[i], size_wh)
            except ImageError as error:
                if len(encoded_images) == 1:
                    raise
                errors[i, 0] = str(error).encode()
                pictures[i] = 0
                continue
            with self.report.stage("resize"):
                fit(stored, opened.header, size_wh, self.interpolation, out=pictures[i])
            sizes_wh[i] = opened.header.upright_wh, size_wh
            if opened.header.cut_off:
                warnings[i, 0] = CUT_OFF.encode()
        return tensors

    def _tiles(
        self, request: Any, encoded: bytes, frames: np.ndarray, size_wh: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        tensors = _empty(len(frames), size_wh)
        pictures, sizes_wh, _, warnings = tensors.values()
        tensors["tile_xy"], tile_sizes_wh = places_of(frames)
        opened, stored = self._decoded(encoded)  # whole: at a fraction, tiles would lose what they are for
        image = turned(stored, opened.header.orientation)
        for i, frame in enumerate(frames):
            check_awaited(request)
            with self.report.stage("resize"):
                resize(cut(image, frame, tile_sizes_wh[0]), size_wh, self.interpolation, out=pictures[i])
            sizes_wh[i] = tile_sizes_wh[i], size_wh
        if opened.header.cut_off:
            warnings[:] = CUT_OFF.encode()
        return tensors

    def _decoded(
        self, encoded: bytes, strict: bool = False, network_wh: tuple[int, int] | None = None
    ) -> tuple[OpenedImage, np.ndarray]:
        with self._refusals_counted(), self.report.stage("decode"):
            opened = open_image(encoded, strict)
            return opened, decode_stored(opened, network_wh if self.scaled_decoding else None, bounded=True)

    @contextmanager
    def _refusals_counted(self) -> Iterator[None]:
        try:
            yield
        except ImageError as error:
            self.report.count(IMAGES_REFUSED, reason=error.reason)
            raise


def _empty(count: int, size_wh: tuple[int, int]) -> dict[str, np.ndarray]:
    """What is told of so many pictures, to be filled in."""
    width, height = size_wh
    errors, warnings = np.full((2, count, 1), b"", object)
    return {
        "picture": np.empty((count, height, width, 3), np.uint8),
        "sizes_wh": np.zeros((count, 2, 2), np.int32),
        "image_error": errors,
        "image_warning": warnings,
    }


def _response(request: Any, tensors: dict[str, np.ndarray], ticket: int) -> Any:
    count = len(tensors["picture"])
    tensors["ticket"] = np.full((count, 1), ticket, np.uint64)
    threshold = pb_utils.get_input_tensor_by_name(request, "threshold")
    if threshold is not None:
        thresholds = threshold.as_numpy()
        tensors["image_threshold"] = np.repeat(thresholds, count // len(thresholds), axis=0)
    return pb_utils.InferenceResponse([pb_utils.Tensor(*item) for item in tensors.items()])


def picture_bytes(count: int, size_wh: tuple[int, int]) -> int:
    """What so many pictures take as the network sees them."""
    width, height = size_wh
    return count * width * height * 3


def _check_sizes(encoded_images: np.ndarray, size_wh: tuple[int, int], count: int) -> None:
    """RequestError for more than a request may bring, or become: so many pictures."""
    images, (width, height) = len(encoded_images), size_wh
    encoded_bytes = sum(map(len, encoded_images))
    if images > 1 and encoded_bytes > MAX_REQUEST_ENCODED_BYTES:  # a single one is told so as an image
        raise RequestError(
            f"{images} encoded images of {encoded_bytes:,} bytes in one request, the limit is "
            f"{MAX_REQUEST_ENCODED_BYTES:,}; send fewer in one request"
        )
    pictures = f"{count} pictures of {width}x{height} px"
    if count > images:
        check_bytes(picture_bytes(count, size_wh), f"{pictures}, an image and its tiles,", "ask for larger tiles")
    check_bytes(picture_bytes(count, size_wh), pictures)
