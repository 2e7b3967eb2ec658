"""What the sync and the async detector share: options checked, a connection opened, images under way, all closed again.

Everything that waits runs in the engine's thread; this module only hands out futures.
"""

from __future__ import annotations

import logging
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any

from tritonface._address import Address
from tritonface._connection import Connection
from tritonface._engine import engine
from tritonface._errors import InvalidArgumentError
from tritonface._fetch import UrlPolicy
from tritonface._inputs import Input, Source, iterate_sources
from tritonface._publish import publish, read_export
from tritonface._request import OnError, Rules, detect
from tritonface._result import DetectionResult
from tritonface._served import Served, check_device, check_img_size, describe

CLOSE_TIMEOUT_S = 5.0
MAX_SIDES_PX = range(16, 2**16)

log = logging.getLogger("tritonface")


@dataclass(frozen=True)
class Options:
    """The arguments of `create_model` that are not the address; see there."""

    model_name: str
    model_dir: Any = None
    device: str | None = None
    img_size: int | Sequence[int] | None = None
    threshold: float | None = None
    use_hpip: bool = False
    batch_size: int = 1
    urls: UrlPolicy | None = None
    max_side_px: int | None = None
    timings: bool = False

    def check(self) -> None:
        """InvalidArgumentError for what can be told without a server."""
        if not isinstance(self.model_name, str) or not self.model_name:
            raise InvalidArgumentError(f"model_name must be the name of a model, got {self.model_name!r}")
        check_threshold(self.threshold)
        check_batch_size(self.batch_size)
        if self.urls is not None and not isinstance(self.urls, UrlPolicy):
            raise InvalidArgumentError(f"urls must be a tritonface.UrlPolicy, got {type(self.urls).__name__}")
        side = self.max_side_px
        if side is not None and (isinstance(side, bool) or not isinstance(side, int) or side not in MAX_SIDES_PX):
            raise InvalidArgumentError(f"max_side_px must be a whole number of pixels from 16 on, got {side!r}")


class Session:
    """An open connection to one served detector.

    Attributes:
        model_name: the name on the server.
        labels: class names by class id.
        threshold, img_size_wh: what `predict` sends if it is not told otherwise; None for the server's own.
    """

    def __init__(
        self,
        connection: Connection,
        served: Served,
        options: Options,
        threshold: float | None,
        size_wh: tuple[int, int] | None,
    ) -> None:
        self.model_name, self.labels = served.name, served.labels
        self.threshold, self.img_size_wh = threshold, size_wh
        self.options = options
        self._connection = connection
        self.close = weakref.finalize(self, _close, connection)

    def run(self, input: Input, batch_size: int | None, threshold: float | None, on_error: OnError) -> Run:
        """The images of one `predict` call, not started yet; InvalidArgumentError at once."""
        check_threshold(threshold)
        size = self.options.batch_size if batch_size is None else batch_size
        check_batch_size(size)
        if on_error not in ("raise", "yield"):
            raise InvalidArgumentError(f"on_error must be 'raise' or 'yield', got {on_error!r}")
        if not self.close.alive:
            raise InvalidArgumentError("the model is closed; make a new one with create_model")
        rules = Rules(
            self.model_name,
            self.labels,
            self.threshold if threshold is None else threshold,
            self.img_size_wh,
            on_error,
            self.options.urls or UrlPolicy(),
            self.options.max_side_px,
            self.options.timings,
            uuid.uuid4().hex[:12],
        )
        return Run(self, iterate_sources(input), rules, size)

    def submit(self, source: Source, rules: Rules) -> Future[DetectionResult]:
        """Start one image."""
        return engine.submit(detect(self._connection, source, rules))


class Run:
    """The images of one `predict` call: a bounded number under way, their results in order.

    Args:
        size: how many may be under way at once.
    """

    def __init__(self, session: Session, sources: Iterator[Source], rules: Rules, size: int) -> None:
        self._session = session
        self._sources = sources
        self._rules = rules
        self._size = size
        self._under_way: deque[Future[DetectionResult]] = deque()
        self._waited_for: Future[DetectionResult] | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._failure: Exception | None = None

    def next(self) -> Future[DetectionResult] | None:
        """The next image's result to be; None after the last.

        Raises:
            InvalidArgumentError: an element of the input is of no use, at its turn.
        """
        with self._lock:
            while not self._ended and len(self._under_way) < self._size:
                try:
                    self._under_way.append(self._session.submit(next(self._sources), self._rules))
                except StopIteration:
                    self._ended = True
                except Exception as error:  # its turn comes after the images before it
                    self._ended, self._failure = True, error
            if self._under_way:
                self._waited_for = self._under_way.popleft()
                return self._waited_for
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return None

    def cancel(self) -> None:
        """Start nothing more and give up what is under way; without effect when all has been delivered."""
        with self._lock:
            self._ended, self._failure = True, None
            rest = [*self._under_way, *filter(None, [self._waited_for])]
            self._under_way.clear()
        for future in rest:
            future.cancel()


def open_session(address: Address, options: Options) -> Future[Session]:
    """Connect; the future fails with what `create_model` raises."""
    options.check()
    engine.acquire()
    future = engine.submit(_open(address, options))
    future.add_done_callback(_release_unless_open)
    return future


async def _open(address: Address, options: Options) -> Session:
    connection = Connection(address)
    try:
        name = f"{options.model_name}_hpi" if options.use_hpip else options.model_name
        export = None if options.model_dir is None else read_export(options.model_dir, options.model_name)
        served = await describe(connection, name, address.timeout_s)
        check_device(options.device, served)
        if export is not None:
            served = await publish(connection, export, served, address.timeout_s)
        size_wh = check_img_size(options.img_size, served) or served.input_size_wh
        threshold = served.threshold if options.threshold is None else options.threshold
        return Session(connection, served, options, threshold, size_wh)
    except BaseException:
        await connection.close()
        raise


def _release_unless_open(future: Future[Session]) -> None:
    if future.cancelled() or future.exception() is not None:
        engine.release()


def _close(connection: Connection) -> None:
    """End the connection and give up the engine; runs once, also when a model is forgotten or Python ends."""
    with suppress(InvalidArgumentError):  # in a forked child there is nothing to close
        future = engine.submit(connection.close())
        if not engine.is_current():
            wait_for_futures([future], CLOSE_TIMEOUT_S)
    engine.release()


def check_threshold(threshold: float | None) -> None:
    """InvalidArgumentError unless it is None or a number in 0..1."""
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 <= float(threshold) <= 1:
        raise InvalidArgumentError(f"threshold must be a number between 0 and 1, got {threshold!r}")


def check_batch_size(batch_size: int) -> None:
    """InvalidArgumentError unless it is a whole number from 1 on."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidArgumentError(f"batch_size must be a whole number from 1 on, got {batch_size!r}")
