"""Names that stand for several scripted servers: whom they bring, and whom they take away."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tests.unit.client.scripted_servers import DOWN, A, B, C, Scripted, ask
from tritonface._fleet import LOOK_UP_AGAIN_S, LOOK_UP_INTERVAL_S, Fleet


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names stand for."""
    known: dict[str, list[str]] = {}

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(f"no {host}")
        kinds = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kinds[":" in it], socket.SOCK_STREAM, 6, "", (it, port)) for it in known[host]]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return known


@pytest.mark.parametrize(
    ("addresses", "urls"),
    [
        ([], ["faces:1"]),
        (["10.0.0.1"], ["faces:1"]),
        (["10.0.0.1", "fd00::1"], ["faces:1"]),
        (["10.0.0.2", "10.0.0.1", "10.0.0.1", "fd00::1"], ["10.0.0.1:1", "10.0.0.2:1"]),
        (["fd00::2", "fd00::1"], ["[fd00::1]:1", "[fd00::2]:1"]),
    ],
)
def test_what_a_name_stands_for(
    play: Any, scripted: type[Scripted], names: dict[str, list[str]], addresses: list[str], urls: list[str]
) -> None:
    names["faces"] = addresses

    async def scene(fleet: Fleet) -> None:
        assert [client.connection.url for client in scripted.made] == urls
        assert {client.name for client in scripted.made} == ({"faces:1"} if len(urls) > 1 else {None})

    play(scene, "faces:1")


def test_servers_come_and_go_with_a_name(play: Any, scripted: type[Scripted], names: dict[str, list[str]]) -> None:
    names["faces"] = ["10.0.0.1"]

    async def looked_up(fleet: Fleet) -> set[str]:
        await asyncio.sleep(LOOK_UP_INTERVAL_S)
        await ask(fleet)
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)
        return {client.connection.url for client in scripted.made if not client.closed}

    async def scene(fleet: Fleet) -> None:
        names["faces"] += ["10.0.0.2"]
        assert await looked_up(fleet) == {"10.0.0.1:8001", "10.0.0.2:8001"}
        names["faces"] = ["10.0.0.2", "10.0.0.3"]
        assert await looked_up(fleet) == {"10.0.0.2:8001", "10.0.0.3:8001"}
        del names["faces"]  # nobody answers for names at the moment
        assert await looked_up(fleet) == {"10.0.0.2:8001", "10.0.0.3:8001"}

    play(scene, "faces:8001")


def test_where_a_server_has_died_names_are_looked_up_soon(
    play: Any, scripted: type[Scripted], names: dict[str, list[str]]
) -> None:
    names["faces"] = ["10.0.0.1", "10.0.0.2"]
    scripted.answers[A], scripted.lives[A] = DOWN, False

    async def scene(fleet: Fleet) -> None:
        await asyncio.gather(ask(fleet), ask(fleet))
        names["faces"] = ["10.0.0.2", "10.0.0.3"]
        await asyncio.sleep(LOOK_UP_AGAIN_S)
        await ask(fleet)
        await asyncio.sleep(0.01)
        assert {await ask(fleet) for _ in range(40)} == {B, C}

    play(scene, "faces:8001")


def test_a_server_that_has_gone_answers_what_is_under_way(
    play: Any, scripted: type[Scripted], names: dict[str, list[str]]
) -> None:
    async def slow() -> str:
        await asyncio.sleep(LOOK_UP_INTERVAL_S + 1)
        return "slow"

    names["faces"] = ["10.0.0.1", "10.0.0.2"]
    scripted.answers[A] = slow

    async def scene(fleet: Fleet) -> None:
        first = asyncio.gather(ask(fleet), ask(fleet))
        await asyncio.sleep(LOOK_UP_INTERVAL_S)
        names["faces"] = ["10.0.0.2", "10.0.0.3"]
        assert await ask(fleet) == B
        await asyncio.sleep(0.1)
        gone, *_ = scripted.made
        assert len(scripted.made) == 3 and not gone.closed
        assert sorted(await first) == [B, "slow"]
        await asyncio.sleep(0.1)
        assert gone.closed

    play(scene, "faces:8001")


def test_addresses_and_this_machine_are_not_looked_up(
    play: Any, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda host, port, *_, **__: asked.append(host) or [])
    urls = "127.0.0.1:8001", "[::1]:8001", "localhost:8002", "[fe80::1%2]:8001"

    async def scene(fleet: Fleet) -> None:
        await asyncio.sleep(LOOK_UP_INTERVAL_S)
        assert await ask(fleet) in urls
        await asyncio.sleep(1)
        assert [client.connection.url for client in scripted.made] == [*urls] and asked == []

    play(scene, *urls)
