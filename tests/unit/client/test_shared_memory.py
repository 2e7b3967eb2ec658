"""Regions of shared memory: made, reused, given up, refused."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tritonface import (
    DeadlineExceededError,
    InvalidArgumentError,
    ServerError,
    ServerUnavailableError,
    _shared_memory,
)
from tritonface._shared_memory import FROM_BYTES, PAUSE_S, Region, SharedMemory, is_possible

LARGE = bytes(FROM_BYTES)


class Server:
    """Notes what it is asked to do.

    Attributes:
        fails: what the next calls raise.
        reads: names of regions that a request reads.
    """

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.reads: set[str] = set()
        self.known: dict[str, int] = {}
        self.memory = SharedMemory(self.register, self.unregister)
        self.asked = 0

    async def register(self, name: str, key: str, size: int, timeout_s: float) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        assert Path("/dev/shm", key[1:]).stat().st_size == size and 0 < timeout_s <= 2
        self.known[name] = size

    async def unregister(self, name: str) -> None:
        if self.fails:
            raise self.fails
        if name in self.reads:
            raise InvalidArgumentError("it is currently in use")
        self.known.pop(name, None)

    async def take(self, data: bytes = LARGE) -> Region | None:
        """A region as the image after the next one gets it: made while one travelled with its request."""
        region = self.memory.take(data)
        if region is None and self.memory._adding is not None:
            await asyncio.wait({self.memory._adding})
            region = self.memory.take(data)
        return region

    async def all_left(self) -> None:
        """Until the server has forgotten what it was asked to forget."""
        if self.memory._leaving:
            await asyncio.wait(self.memory._leaving, timeout=20)
            await asyncio.sleep(0)


def run(program: Callable[[Server], Awaitable[None]]) -> None:
    """Run it; afterwards no file is left."""
    asyncio.run(program(Server()))
    assert not list(Path("/dev/shm").glob(f"tritonface-{os.getpid()}-*"))


def test_small_images_travel_with_the_request() -> None:
    async def program(server: Server) -> None:
        assert await server.take(LARGE[1:]) is None and server.asked == 0

    run(program)


def test_no_image_waits_for_a_region_and_one_is_made_at_a_time() -> None:
    async def program(server: Server) -> None:
        assert [server.memory.take(LARGE) for _ in range(8)] == [None] * 8
        assert len(server.memory._known) == 1
        await asyncio.wait({server.memory._adding})
        assert server.asked == 1 and server.memory.take(LARGE) is not None
        server.memory.take(LARGE)
        await server.memory.close(1)  # while another one is made
        assert server.known == {} and server.memory._bytes == 0

    run(program)


def test_regions_are_reused_unless_given_up() -> None:
    async def program(server: Server) -> None:
        memory = server.memory
        first, second = await server.take(), await server.take()
        assert first is not second and first.write(b"abc") == 7 and first._memory[:7] == b"\3\0\0\0abc"
        memory.give_back(first)
        memory.give_up(second)
        memory.give_back(second)  # too late
        assert await server.take(LARGE * 2) not in (first, second)  # too small, given up
        assert await server.take() is first
        assert await server.take() not in (first, second)
        await memory.close(1)
        assert server.known == {} and await server.take() is None
        memory.give_back(first)  # of a request that was under way

    run(program)


@pytest.mark.fault("A18")
def test_memory_comes_back_when_the_server_has_stopped_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_memory, "FIRST_DELAY_S", 0.001)

    async def program(server: Server) -> None:
        region = await server.take()
        server.reads.add(region.name)
        server.memory.give_up(region)
        await asyncio.sleep(0.02)
        assert list(server.known) == [region.name] and server.memory._bytes == region.size
        server.reads.clear()
        await server.all_left()
        assert server.known == {} and server.memory._bytes == 0 and not server.memory._leaving

    run(program)


@pytest.mark.fault("A18")
def test_closing_does_not_wait_for_ever() -> None:
    async def program(server: Server) -> None:
        region = await server.take()
        server.reads.add(region.name)
        started = time.monotonic()
        await server.memory.close(0.1)
        await asyncio.sleep(0)
        assert time.monotonic() - started < 1 and len(asyncio.all_tasks()) == 1

    run(program)


@pytest.mark.fault("A18")
@pytest.mark.parametrize("refusal", [ServerError("restricted"), DeadlineExceededError("late")])
def test_a_server_that_refuses_is_asked_again_later(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    async def program(server: Server) -> None:
        server.fails = refusal
        assert await server.take() is None and await server.take() is None and server.asked == 1
        server.fails = None
        assert await server.take() is None and server.asked == 1
        monkeypatch.setattr(_shared_memory.time, "monotonic", lambda now=time.monotonic: now() + PAUSE_S)
        assert await server.take() is not None
        await server.memory.close(1)

    run(program)


@pytest.mark.fault("A18")
def test_a_server_that_is_away_is_asked_with_the_next_image() -> None:
    async def program(server: Server) -> None:
        server.fails = ServerUnavailableError("away")
        assert await server.take() is None
        server.fails = None
        assert await server.take() is not None
        await server.memory.close(1)
        assert server.known == {}

    run(program)


def test_one_that_was_away_and_then_refuses_is_not_asked_for_ever() -> None:
    async def program(server: Server) -> None:
        server.fails = ServerUnavailableError("away")
        assert server.memory.take(LARGE) is None
        await asyncio.wait({server.memory._adding})
        server.fails = ServerError("restricted")
        await server.all_left()
        assert not server.memory._leaving and server.memory._bytes == 0

    run(program)


@pytest.mark.fault("A18")
def test_cancelled_while_the_server_is_asked() -> None:
    async def program(server: Server) -> None:
        assert server.memory.take(LARGE) is None
        task = server.memory._adding
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.all_left()
        assert server.asked == 1 and server.known == {} and server.memory._bytes == 0

    run(program)


@pytest.mark.fault("A18")
def test_there_is_a_limit_to_all_regions_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_memory, "MAX_SHARED_BYTES", 8 * FROM_BYTES)

    async def program(server: Server) -> None:
        small = [await server.take() for _ in range(4)]
        assert [region is not None for region in small] == [True] * 4
        assert await server.take() is None  # all in use
        for region in small:
            server.memory.give_back(region)
        assert await server.take(LARGE * 3) is None  # they are on their way out
        await server.all_left()
        assert server.known == {} and await server.take(LARGE * 3) is not None
        await server.memory.close(1)

    run(program)


def test_a_server_started_anew_knows_none() -> None:
    async def program(server: Server) -> None:
        first, second = await server.take(), await server.take()
        server.memory.give_back(second)
        server.known.clear()
        server.memory.give_up_unknown(first)
        assert await server.take() not in (first, second)
        await server.memory.close(1)

    run(program)


def test_no_room_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)

    async def program(server: Server) -> None:
        assert await server.take() is None and server.memory._bytes == 0

    run(program)
    with pytest.raises(OSError, match="No space"):
        Region(10)
    assert not list(Path("/dev/shm").glob(f"tritonface-{os.getpid()}-*"))


def test_what_is_free_is_left_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_memory, "MOST_OF_FREE", 0.0)

    async def program(server: Server) -> None:
        assert await server.take() is None and server.asked == 0 and server.memory._bytes == 0

    run(program)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("10.0.0.1:1", False), ("host:1", False)],
)
def test_where_it_is_possible(url: str, expected: bool) -> None:
    assert is_possible(url) is expected
