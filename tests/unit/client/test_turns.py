"""Requests that a busy server refuses come again in their order, as many as it holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tritonface import DeadlineExceededError, ServerBusyError, ServerUnavailableError
from tritonface._retry import with_retries
from tritonface._turns import Turns

WORK_S = 0.01


class BusyServer:
    """Holds so many requests, works on them one after the other, and refuses others."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.held = self.refused = 0
        self.most_idle_s = 0.0
        self._idle_since_s: float | None = None
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, timeout_s: float) -> float:
        """When it was answered."""
        if self.held >= self.places:
            self.refused += 1
            raise ServerBusyError("the server is busy")
        if self._idle_since_s is not None and not self.held:
            self.most_idle_s = max(self.most_idle_s, time.monotonic() - self._idle_since_s)
        self.held += 1
        try:
            async with self._one_at_a_time:
                await asyncio.wait_for(asyncio.sleep(WORK_S), timeout_s)
        finally:
            self.held -= 1
            self._idle_since_s = time.monotonic()
        return time.monotonic()


async def send(turns: Turns, ask: Callable[[float], Awaitable[float]], timeout_s: float = 30.0) -> float:
    turn = turns.next()
    return await with_retries(lambda left_s: turn.ask(ask, left_s), timeout_s, None, pause_where_busy=turn.pause)


def test_nobody_waits_where_nothing_is_refused() -> None:
    async def run() -> None:
        turns, server = Turns(), BusyServer(places=8)
        await asyncio.gather(*(send(turns, server.ask) for _ in range(8)))
        assert not server.refused and not turns.under_way and not turns.waiting

    asyncio.run(run())


@pytest.mark.parametrize("places", [1, 5])
def test_more_than_the_server_holds(places: int) -> None:
    async def run() -> None:
        turns, server, count = Turns(), BusyServer(places), 60
        answered_s = await asyncio.gather(*(send(turns, server.ask) for _ in range(count)))
        late = sum(answered_s[i] > min(answered_s[i + 1 :], default=float("inf")) for i in range(count))
        assert late <= 2, "not in their order"
        assert server.most_idle_s < 0.5
        assert server.refused <= count - places + 2 * count // places
        assert not turns.under_way and not turns.waiting

    asyncio.run(run())


def test_a_new_request_lines_up() -> None:
    async def run() -> None:
        turns, server, order = Turns(), BusyServer(places=1), []

        async def one(name: str) -> None:
            await send(turns, server.ask)
            order.append(name)

        first = [asyncio.create_task(one(str(i))) for i in range(4)]
        await asyncio.sleep(WORK_S / 2)
        await asyncio.gather(*first, one("new"))
        assert order == ["0", "1", "2", "3", "new"]

    asyncio.run(run())


def test_a_server_that_holds_more_again_gets_more() -> None:
    async def run() -> None:
        turns, server = Turns(), BusyServer(places=1)
        most = 0

        async def ask(timeout_s: float) -> float:
            nonlocal most
            most = max(most, server.held + 1) if server.held < server.places else most
            return await server.ask(timeout_s)

        requests = [asyncio.create_task(send(turns, ask)) for _ in range(60)]
        await requests[10]
        server.places = 6
        await asyncio.gather(*requests)
        assert most == 6

    asyncio.run(run())


def test_a_server_that_others_fill_is_asked_after_pauses() -> None:
    async def run() -> None:
        turns, server = Turns(), BusyServer(places=0)
        requests = [asyncio.create_task(send(turns, server.ask)) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert 3 < server.refused < 60
        server.places = 1
        await asyncio.gather(*requests)

    asyncio.run(run())


def test_until_the_deadline() -> None:
    async def run() -> None:
        turns, began_s = Turns(), time.monotonic()

        async def hang(timeout_s: float) -> float:
            await asyncio.sleep(timeout_s)
            raise DeadlineExceededError("no answer")

        async def refuse(timeout_s: float) -> float:
            raise ServerBusyError("the server is busy")

        hanging = asyncio.create_task(send(turns, hang, timeout_s=3.0))
        await asyncio.sleep(0)
        with pytest.raises(ServerUnavailableError, match=r"busy \[\d+ attempts in \d\.\d s\]"):
            await send(turns, refuse, timeout_s=1.0)
        assert time.monotonic() - began_s < 2
        with pytest.raises(DeadlineExceededError):
            await hanging
        assert not turns.under_way and not turns.waiting

    asyncio.run(run())


def test_one_that_is_given_up_makes_room() -> None:
    async def run() -> None:
        turns, server = Turns(), BusyServer(places=1)
        requests = [asyncio.create_task(send(turns, server.ask)) for _ in range(5)]
        await asyncio.sleep(WORK_S / 2)
        for request in requests[:3]:
            request.cancel()
        began_s = time.monotonic()
        await asyncio.gather(*requests[3:])
        assert time.monotonic() - began_s < 1
        assert not turns.under_way and not turns.waiting

    asyncio.run(run())
