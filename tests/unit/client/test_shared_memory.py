"""Regions of shared memory: made, reused, given up, refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tritonface import ServerError, _shared_memory
from tritonface._shared_memory import FROM_BYTES, Region, SharedMemory, is_possible

LARGE = bytes(FROM_BYTES)


class Server:
    """Notes what it is asked to do."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.known: dict[str, int] = {}

    async def register(self, name: str, key: str, size: int) -> None:
        if self.refuses:
            raise ServerError("restricted")
        assert Path("/dev/shm", key[1:]).stat().st_size == size
        self.known[name] = size

    async def unregister(self, name: str) -> None:
        del self.known[name]


def test_small_images_travel_with_the_request() -> None:
    server = Server()
    memory = SharedMemory(server.register, server.unregister)
    assert asyncio.run(memory.take(LARGE[1:])) is None and server.known == {}


def test_regions_are_reused_unless_given_up() -> None:
    server = Server()
    memory = SharedMemory(server.register, server.unregister)

    async def run() -> None:
        first, second = await memory.take(LARGE), await memory.take(LARGE)
        assert first is not second and first.write(b"abc") == 7 and first._memory[:7] == b"\3\0\0\0abc"
        memory.give_back(first)
        memory.give_up(second)
        assert await memory.take(LARGE * 2) not in (first, second)  # too small, given up
        assert await memory.take(LARGE) is first
        assert await memory.take(LARGE) is not second
        memory.give_back(first)
        await memory.close()
        assert first.name not in server.known and second.name in server.known

    asyncio.run(run())
    assert not list(Path("/dev/shm").glob("tritonface-*"))


def test_regions_given_up_long_ago_are_forgotten_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    memory = SharedMemory(server.register, server.unregister)

    async def run() -> None:
        memory.give_up(await memory.take(LARGE))
        monkeypatch.setattr(_shared_memory, "GRACE_S", -1)
        await memory.close()

    asyncio.run(run())
    assert server.known == {}


def test_a_server_that_refuses_is_asked_once() -> None:
    server = Server(refuses=True)
    memory = SharedMemory(server.register, server.unregister)
    assert asyncio.run(memory.take(LARGE)) is None
    server.refuses = False
    assert asyncio.run(memory.take(LARGE)) is None and server.known == {}
    assert not list(Path("/dev/shm").glob("tritonface-*"))


def test_no_room_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    memory = SharedMemory(Server().register, Server().unregister)
    assert asyncio.run(memory.take(LARGE)) is None
    with pytest.raises(OSError, match="No space"):
        Region(10)
    assert not list(Path("/dev/shm").glob("tritonface-*"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("10.0.0.1:1", False), ("host:1", False)],
)
def test_where_it_is_possible(url: str, expected: bool) -> None:
    assert is_possible(url) is expected
