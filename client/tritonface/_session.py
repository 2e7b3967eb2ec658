"""What the sync and the async detector share: options checked, a connection opened, images under way, all closed again.

Everything that waits runs in the engine's thread; this module only hands out futures.
"""

from __future__ import annotations

import uuid
import weakref
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from contextlib import suppress

from tritonface._address import Address
from tritonface._connection import Connection
from tritonface._engine import engine
from tritonface._errors import InvalidArgumentError
from tritonface._fetch import UrlPolicy
from tritonface._inputs import Input, Source, iterate_sources
from tritonface._options import Options, check_batch_size, check_threshold
from tritonface._publish import publish, read_export
from tritonface._request import OnError, Rules, detect
from tritonface._result import DetectionResult
from tritonface._run import Run
from tritonface._served import Served, check_device, check_img_size, describe
from tritonface._shared_memory import is_possible

CLOSE_TIMEOUT_S = 5.0


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
        return Run(self.submit, iterate_sources(input), rules, size)

    def submit(self, source: Source, rules: Rules) -> Future[DetectionResult]:
        """Start one image."""
        return engine.submit(detect(self._connection, source, rules))


def open_session(address: Address, options: Options) -> Future[Session]:
    """Connect; the future fails with what `create_model` raises."""
    options.check()
    engine.acquire()
    future = engine.submit(_open(address, options))
    future.add_done_callback(_release_unless_open)
    return future


async def _open(address: Address, options: Options) -> Session:
    connection = Connection(address, options.shared_memory and is_possible(address.url))
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
