"""Repeating a call while the server is unavailable, within one deadline."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tritonface._errors import DeadlineExceededError, ModelProcessError, ServerBusyError, ServerUnavailableError
from tritonface._limits import MAX_RETRY_DELAY_S

T = TypeVar("T")

FIRST_DELAY_S = 0.1
MOST_DEATHS = 3
"""An image under which processes die again and again is not sent again for ever; the first answer may be a late one."""

log = logging.getLogger("tritonface")


async def with_retries(
    attempt: Callable[[float], Awaitable[T]],
    timeout_s: float,
    retries: int | None,
    name: str = "call",
    pause_where_busy: Callable[[float, float], Awaitable[None]] | None = None,
) -> T:
    """What `attempt(seconds left)` returns, repeated on ServerUnavailableError and nothing else.

    The pause before retry n is uniform between 0 and min(2 s, 0.1 s x 2^n) ("full jitter"), so that clients of a server
    that comes back do not all ask at once.

    Args:
        timeout_s: deadline of all attempts together.
        retries: at most so many repetitions; None for as many as the deadline allows. Where the process of a model dies
            under the call, `MOST_DEATHS` is the limit.
        pause_where_busy: waits instead of a pause of so many seconds where the server is there but busy; it is told the
            seconds left, too.

    Raises:
        ServerUnavailableError: the last attempt's, once retries or time are used up.
    """
    deadline = time.monotonic() + timeout_s
    attempts = deaths = 0
    last: Exception | None = None
    while True:
        try:
            return await attempt(max(deadline - time.monotonic(), 1e-3))
        except DeadlineExceededError as error:
            if not attempts:
                raise
            raise DeadlineExceededError(f"{error} [attempt {attempts + 1}; before it: {last}]") from error.__cause__
        except ServerUnavailableError as error:
            last = error
            attempts += 1
            deaths += isinstance(error, ModelProcessError)
            delay_s = random.uniform(0, min(MAX_RETRY_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempts, 16)))
            too_often = deaths == MOST_DEATHS or (retries is not None and attempts > retries)
            if too_often or time.monotonic() + delay_s >= deadline:
                if attempts == 1:
                    raise
                spent_s = timeout_s - (deadline - time.monotonic())
                again = type(error)(f"{error} [{attempts} attempts in {spent_s:.1f} s]")
                raise again from error.__cause__
            log.info("%s: attempt %d failed (%s); again in %.2f s", name, attempts, error, delay_s)
            if pause_where_busy and isinstance(error, ServerBusyError):
                await pause_where_busy(delay_s, deadline - time.monotonic())
            else:
                await asyncio.sleep(delay_s)
