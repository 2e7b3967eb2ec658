"""Ray: started on this machine, closed to others and quiet, or joined; pieces handed out, tables taken in."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tritonface._batch.folder import RunFolder
from tritonface._batch.listing import Piece
from tritonface._batch.worker import CALLS, Worker, text_of
from tritonface._errors import InvalidArgumentError, TritonFaceError
from tritonface._options import Options

NEEDED = ("ray", "pyarrow", "fsspec", "pandas")
OBJECT_STORE_BYTES = 128 * 2**20
"""Names and tables pass through it, pictures never."""
LONGEST_TEMPORARY = 24
"""Ray's sockets are below it, and their names have 107 characters at most."""
TEMPORARY_PREFIX = "tritonface-batch-"
REMOVE_TIMEOUT_S = 10.0

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too: it is what makes Ray listen on loopback alone
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would pack the working directory
    "RAY_memory_monitor_refresh_ms": "0",  # it would kill workers because others use the memory
}


def check_installed() -> None:
    """InvalidArgumentError unless the extra is there."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidArgumentError(
            f"batch needs Ray Data ({', '.join(missing)} not found): pip install 'tritonface[batch]'"
        )


def detect_pieces(pieces: Iterable[Piece], options: Options, workers: int) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Index and tables of each piece as it is done, in no certain order; Ray is there, see `started`.

    Raises:
        InvalidArgumentError, TritonFaceError: the run cannot go on.
    """
    import ray
    import ray.data
    from ray.exceptions import RayError

    ray.data.DataContext.get_current().enable_progress_bars = False
    _silence()
    worker: Any = Worker  # Ray takes an instance of it for the function
    rows = [{"piece": text_of(piece)} for piece in pieces]
    hands = ray.data.ActorPoolStrategy(
        size=workers,
        max_tasks_in_flight_per_actor=CALLS + 1,
        max_concurrent_calls_per_actor=CALLS,
        enable_true_multi_threading=True,
    )
    try:
        found = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            worker, fn_constructor_args=(options, str(Path.cwd())), compute=hands, num_cpus=1
        )
        for row in found.iter_rows():
            if row["error"]:
                raise (InvalidArgumentError if row["usage"] else TritonFaceError)(row["error"])
            yield int(row["index"]), row
    except RayError as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TritonFaceError(f"Ray has failed: {reason[-1]}") from error


@contextlib.contextmanager
def started(address: str | None, workers: int, folder: RunFolder) -> Iterator[None]:
    """Ray, until the end of the block.

    Args:
        address: of a cluster; None for one of this process alone, on loopback, which leaves nothing behind.
        workers: how many it must have room for.
        folder: is told of Ray's temporary files, in case that this process is killed.

    Raises:
        TritonFaceError: there is no cluster at the address, or it cannot be joined.
    """
    os.environ.update(QUIET)
    if address is None:  # a token of our own, or Ray writes one into the home directory
        os.environ.update({**LOCAL, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    import ray

    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        try:
            with _stderr_closed():
                ray.init(address, **common)
        except (ConnectionError, RuntimeError) as error:
            raise TritonFaceError(f"cannot join Ray at {address}: {error.__cause__ or error}") from error
        try:
            yield
        finally:
            ray.shutdown()
        return
    _remove(folder.noted_temporary())
    place = "/tmp" if len(tempfile.gettempdir()) > LONGEST_TEMPORARY else None
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=place))
    folder.note_temporary(temporary)
    try:
        with _stderr_closed():
            ray.init(
                "local",
                num_cpus=workers,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(temporary),
                **common,
            )
        signal.signal(signal.SIGTERM, _interrupt)  # Ray's own handler leaves its files
        yield
    finally:
        ray.shutdown()
        _remove(temporary)
        folder.note_temporary(None)


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Ray's native part says there what its log level is, in a line that no level silences."""
    kept_fd, nowhere_fd = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere_fd, 2)
    try:
        yield
    finally:
        os.dup2(kept_fd, 2)
        os.close(kept_fd)
        os.close(nowhere_fd)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _silence() -> None:
    """Ray Data's own log, which writes to standard error whatever `ray.init` is told."""
    for name in ("ray", "ray.data"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL)
        for handler in logger.handlers:
            handler.setLevel(logging.CRITICAL)


def _remove(temporary: Path | None) -> None:
    """A folder of Ray's, although processes that are just ending may still write to it."""
    if temporary is None or not temporary.name.startswith(TEMPORARY_PREFIX) or temporary.is_symlink():
        return
    deadline_s = time.monotonic() + REMOVE_TIMEOUT_S
    while temporary.exists() and time.monotonic() < deadline_s:
        shutil.rmtree(temporary, ignore_errors=True)
        time.sleep(0.05)
