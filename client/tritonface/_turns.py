"""Whose turn it is where a busy server refuses requests of a connection: the oldest one's, when another is answered.

Results come in order. If each refused request came again after a pause of its own, an unlucky one would hold up all
that came after it, and the server would have nothing to do meanwhile. So as many come as are answered, and one more in
each round, as the server may hold more than it did (additive increase, as TCP avoids congestion, RFC 5681).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tritonface._errors import ServerBusyError
from tritonface._limits import MAX_RETRY_DELAY_S

T = TypeVar("T")


class Turns:
    """The requests of one connection; belongs to an event loop."""

    def __init__(self) -> None:
        self.under_way = 0
        self.ended = 0
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self._in_round = 0
        self._numbers = itertools.count()

    def next(self) -> Turn:
        """That of a request, which is younger than all before it."""
        return Turn(self, next(self._numbers))

    def pass_on(self) -> None:
        """A request has ended: the oldest that waits comes instead; after a whole round, the two oldest."""
        self.ended += 1
        self._in_round += 1
        self._wake()
        if self._in_round > self.under_way:
            self._in_round = 0
            self._wake()

    def _wake(self) -> None:
        if self.waiting:
            self.waiting.pop(min(self.waiting)).set_result(None)


class Turn:
    """One request's, over its repetitions."""

    def __init__(self, turns: Turns, number: int) -> None:
        self._turns = turns
        self._number = number
        self._is_new = True

    async def ask(self, call: Callable[[float], Awaitable[T]], timeout_s: float) -> T:
        """What `call(seconds left)` returns; a new request lines up behind those that wait."""
        deadline_s = time.monotonic() + timeout_s
        if self._is_new and self._turns.waiting:
            await self.pause(0.0, timeout_s)
        self._is_new, is_refused = False, False
        self._turns.under_way += 1
        try:
            return await call(max(deadline_s - time.monotonic(), 1e-3))
        except ServerBusyError:
            is_refused = True
            raise
        finally:
            self._turns.under_way -= 1
            if not is_refused:
                self._turns.pass_on()

    async def pause(self, delay_s: float, left_s: float) -> None:
        """Wait for this one's turn; only so long where nothing is under way, or nothing is answered any more.

        Args:
            left_s: until the request's deadline; half of it is the most.
        """
        turns, end_s = self._turns, time.monotonic() + left_s / 2
        if turns.under_way:
            delay_s = max(delay_s, MAX_RETRY_DELAY_S)
        turn = turns.waiting[self._number] = asyncio.get_running_loop().create_future()
        try:
            is_moving = True
            while is_moving and not turn.done() and (rest_s := end_s - time.monotonic()) > 0:
                ended = turns.ended
                await asyncio.wait([turn], timeout=min(delay_s, rest_s))
                is_moving = turns.ended > ended
        finally:
            turns.waiting.pop(self._number, None)
