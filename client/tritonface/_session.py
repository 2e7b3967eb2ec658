"""What the sync and the async detector share: options checked, a connection opened, images under way, all closed again.

Everything that waits runs in the engine's thread; this module only hands out futures.
"""

from __future__ import annotations

import itertools
import os
import uuid
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from functools import partial

from tritonface._client import LEAVE_TIMEOUT_S
from tritonface._engine import engine
from tritonface._errors import InvalidArgumentError, ServerUnavailableError, TritonFaceError
from tritonface._fleet import Fleet
from tritonface._inputs import Input, Source, iterate_sources
from tritonface._numbers import Number, Whole
from tritonface._options import Options, Size, checked_batch_size, checked_threshold, checked_tiles
from tritonface._publish import Publication, read_export
from tritonface._request import OnError, Rules, detect
from tritonface._result import DetectionResult
from tritonface._run import Run
from tritonface._served import Served, check_device, check_img_size, check_tiles, describe
from tritonface._trace_context import trace_headers

CLOSE_TIMEOUT_S = 5.0
CLOSED = "the model was closed while an image was under way"


class Session:
    """An open connection to one served detector, on one server or several.

    Attributes:
        model_name: the name on the server.
        labels: class names by class id.
        threshold, img_size_wh: what `predict` sends if it is not told otherwise; None for the server's own.
        input_size_wh: (width, height) in pixels of the network's input, whoever sets it; None if nobody says.
        options: what it was opened with.

    Args:
        publication: of the detector, if it is from a folder of the caller's.
    """

    def __init__(
        self,
        fleet: Fleet,
        served: Served,
        options: Options,
        threshold: float | None,
        size_wh: tuple[int, int] | None,
        publication: Publication | None,
    ) -> None:
        self.model_name, self.labels = served.name, served.labels
        self.threshold, self.img_size_wh = threshold, size_wh
        self.input_size_wh = size_wh or served.network_size_wh
        self.options = options
        self._served = served
        self._publication = publication
        self._fleet = fleet
        self._unnamed = itertools.count()  # frames of many calls get names of their own
        self._process_id = os.getpid()
        self.close = weakref.finalize(self, _close, fleet, self._process_id)

    def run(
        self,
        input: Input,
        batch_size: Whole | None,
        threshold: Number | None,
        on_error: OnError,
        tiles: Size | None = None,
    ) -> Run:
        """The images of one `predict` call, not started yet; InvalidArgumentError at once."""
        size = self.options.batch_size if batch_size is None else batch_size
        return self.run_sources(iterate_sources(input, self._unnamed), size, threshold, on_error, tiles)

    def run_sources(
        self,
        sources: Iterator[Source],
        batch_size: Whole,
        threshold: Number | None,
        on_error: OnError,
        tiles: Size | None = None,
    ) -> Run:
        """The same of images that are taken apart already."""
        own_threshold = checked_threshold(threshold)
        tile_wh = self.options.tile_wh if tiles is None else checked_tiles(tiles)
        check_tiles(tile_wh, self._served)
        size = checked_batch_size(batch_size)
        if on_error not in ("raise", "yield"):
            raise InvalidArgumentError(f"on_error must be 'raise' or 'yield', got {on_error!r}")
        self._check_process()
        if not self.close.alive:
            raise InvalidArgumentError("the model is closed; make a new one with create_model")
        rules = Rules(
            self.model_name,
            self.labels,
            self.threshold if own_threshold is None else own_threshold,
            self.img_size_wh,
            tile_wh,
            on_error,
            self.options.urls,
            self.options.max_side_px,
            self.options.timings,
            self.options.strict,
            uuid.uuid4().hex[:12],
            trace_headers(),
            self._publication.load_again if self._publication else None,
        )
        return Run(self.submit, sources, rules, size)

    def submit(self, source: Source, rules: Rules) -> Future[DetectionResult]:
        """Start one image."""
        self._check_process()
        return engine.submit(partial(_detect, self._fleet, source, rules))

    def _check_process(self) -> None:
        if os.getpid() != self._process_id:
            raise InvalidArgumentError(
                "the model was made before this process was forked; make a new one with create_model"
            )


async def _detect(fleet: Fleet, source: Source, rules: Rules) -> DetectionResult:
    """The result; when the model is closed meanwhile, no failure of the connection, which differs by protocol."""
    try:
        return await detect(fleet, source, rules)
    except Exception:  # of gRPC, aiohttp or ours
        if fleet.closed:
            raise InvalidArgumentError(CLOSED) from None
        raise


def open_session(options: Options) -> Future[Session]:
    """Connect; the future fails with what `create_model` raises."""
    engine.acquire()
    future = engine.submit(partial(_open, options))
    future.add_done_callback(_release_unless_open)
    return future


async def _open(options: Options) -> Session:
    fleet, timeout_s = await Fleet.of(options.connection), options.connection.timeout_s
    try:
        name = f"{options.model_name}_hpi" if options.use_hpip else options.model_name
        export = None if options.model_dir is None else read_export(options.model_dir, options.model_name)
        served = await fleet.ask(lambda client, seconds: describe(client, name, seconds), timeout_s)
        check_device(options.device, served)
        check_tiles(options.tile_wh, served)
        publication = None
        if export is not None:
            publication = Publication(export, served)
            served = await _publish(fleet, publication, timeout_s)
        size_wh = check_img_size(options.img_size, served) or served.input_size_wh
        threshold = served.threshold if options.threshold is None else options.threshold
        return Session(fleet, served, options, threshold, size_wh, publication)
    except BaseException:
        await fleet.close()
        raise


async def _publish(fleet: Fleet, publication: Publication, timeout_s: float) -> Served:
    """Publish the export on each server that is there; what one refuses is refused."""
    answers = await fleet.ask_all(publication.load, timeout_s)
    failures = [answer for answer in answers.values() if isinstance(answer, TritonFaceError)]
    refusals = [failure for failure in failures if not isinstance(failure, ServerUnavailableError)]
    published = [answer for answer in answers.values() if isinstance(answer, Served)]
    if refusals or not published:
        raise (refusals or failures)[0]
    return published[0]


def _release_unless_open(future: Future[Session]) -> None:
    if future.cancelled() or future.exception() is not None:
        engine.release()


def _close(fleet: Fleet, process_id: int) -> None:
    """End the connection and give up the engine; runs once, also when a model is forgotten or Python ends."""
    if os.getpid() != process_id:
        return  # a forked child has nothing to close
    future = engine.submit(fleet.close)
    if not engine.is_current():
        patience_s = LEAVE_TIMEOUT_S if fleet.connection.shared_memory else 0.0
        wait_for_futures([future], CLOSE_TIMEOUT_S + patience_s)
    engine.release()
