"""Which of several scripted servers is asked, and what becomes of those that cannot answer, on a clock of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tritonface import (
    Connection,
    DeadlineExceededError,
    ImageError,
    ModelNotFoundError,
    ModelProcessError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
)
from tritonface._fleet import LIVE_TIMEOUT_S, LOOK_UP_INTERVAL_S, PATIENCE_S, Fleet
from tritonface._limits import MAX_RETRY_DELAY_S

A, B, C = "10.0.0.1:8001", "10.0.0.2:8001", "10.0.0.3:8001"
DOWN = ServerUnavailableError("down")


class Scripted:
    """A client whose answers are set by its url: an exception, a value, or a coroutine's function."""

    answers: dict[str, Any] = {}
    lives: dict[str, bool | None] = {}
    made: list[Scripted] = []

    def __init__(self, connection: Connection, name: str | None = None) -> None:
        self.connection, self.name, self.closed, self.asked = connection, name, False, 0
        self.made.append(self)

    async def infer(self, timeout_s: float) -> Any:
        self.asked += 1
        answer = self.answers.get(self.connection.url, self.connection.url)
        if callable(answer):
            answer = await answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def is_live(self, timeout_s: float) -> bool:
        if self.lives.get(self.connection.url, True) is None:
            await asyncio.sleep(timeout_s)
            raise DeadlineExceededError("late")
        if not self.lives.get(self.connection.url, True):
            raise DOWN
        return True

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    monkeypatch.setattr("tritonface._fleet.Client", Scripted)
    for name in ("answers", "lives"):
        monkeypatch.setattr(Scripted, name, {})
    monkeypatch.setattr(Scripted, "made", [])
    return Scripted


class Loop(asyncio.SelectorEventLoop):
    """Its time passes only while everybody waits, and then at once."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        return socket.getaddrinfo(host, port, **options)

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now_s = max(self.now_s, self._scheduled[0].when())
        super()._run_once()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a scene with a fleet, in a time of its own."""

    def play(scene: Callable[[Fleet], Awaitable[Any]], *urls: str) -> Any:
        loop = Loop()
        monkeypatch.setattr("tritonface._fleet.time.monotonic", loop.time)

        async def run() -> Any:
            fleet = await Fleet.of(Connection(urls))
            try:
                return await scene(fleet)
            finally:
                await fleet.close()

        try:
            return loop.run_until_complete(run())
        finally:
            loop.close()

    return play


async def infer(client: Any, timeout_s: float) -> Any:
    return await client.infer(timeout_s)


async def ask(fleet: Fleet, timeout_s: float = 30) -> Any:
    return await fleet.ask(infer, timeout_s)


def test_a_single_one_is_asked_and_nothing_else(play: Any, scripted: type[Scripted]) -> None:
    scripted.answers[A] = DOWN

    async def scene(fleet: Fleet) -> None:
        for _ in range(3):
            with pytest.raises(ServerUnavailableError) as caught:
                await ask(fleet)
            assert caught.value is DOWN
        assert len(asyncio.all_tasks()) == 1

    play(scene, A)
    [client] = scripted.made
    assert client.asked == 3 and client.name is None and client.closed


def test_the_least_busy_is_asked(play: Any, scripted: type[Scripted]) -> None:
    async def slow() -> str:
        await asyncio.sleep(0.3)
        return "slow"

    scripted.answers[A] = slow

    async def scene(fleet: Fleet) -> list[str]:
        first = [asyncio.ensure_future(ask(fleet)) for _ in range(3)]
        await asyncio.sleep(0.1)  # B and C have answered, A has not
        return [*[await ask(fleet) for _ in range(4)], *await asyncio.gather(*first)]

    answers = play(scene, A, B, C)
    assert "slow" not in answers[:4] and sorted(answers[4:]) == [B, C, "slow"]


def test_what_is_dead_is_left_alone_and_tried_again(play: Any, scripted: type[Scripted]) -> None:
    scripted.answers[A], scripted.lives[A] = DOWN, False

    async def scene(fleet: Fleet) -> None:
        assert [await ask(fleet) for _ in range(20)] == [B] * 20
        dead, _ = scripted.made
        assert dead.asked == 1
        await asyncio.sleep(60)
        assert {await ask(fleet) for _ in range(20)} == {B} and dead.asked == 1
        del scripted.answers[A], scripted.lives[A]
        await asyncio.sleep(MAX_RETRY_DELAY_S)  # no longer than that until it is noticed
        assert {await ask(fleet) for _ in range(40)} == {A, B}

    play(scene, A, B)


def test_pauses_double(play: Any, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    async def is_live(self: Scripted, timeout_s: float) -> bool:
        looks.append(asyncio.get_running_loop().time())
        raise DOWN

    monkeypatch.setattr(Scripted, "is_live", is_live)
    monkeypatch.setattr("tritonface._fleet.random.uniform", lambda low, high: high)
    scripted.answers[A] = DOWN

    async def scene(fleet: Fleet) -> None:
        while not scripted.made[0].asked:
            await ask(fleet)
        await asyncio.sleep(9)

    play(scene, A, B)
    assert [round(b - a, 2) for a, b in zip([0, *looks], looks)] == [0.25, 0.5, 1, 2, 2, 2]


@pytest.mark.parametrize("error", [ServerBusyError("full"), ModelNotFoundError("not here yet")])
def test_what_cannot_take_it_is_passed_over_at_once_and_rests(
    play: Any, scripted: type[Scripted], error: Exception
) -> None:
    scripted.answers[A] = error

    async def scene(fleet: Fleet) -> None:
        now_s = asyncio.get_running_loop().time
        assert [await ask(fleet) for _ in range(20)] == [B] * 20 and now_s() == 0
        assert scripted.made[0].asked == 1
        del scripted.answers[A]
        await asyncio.sleep(0.25)
        assert {await ask(fleet) for _ in range(40)} == {A, B}

    play(scene, A, B)


def test_a_silent_one_loses_what_waits_for_it(play: Any, scripted: type[Scripted]) -> None:
    """A stopped process, a machine that is gone: the connection stands, and nothing comes."""
    scripted.answers[A], scripted.lives[A] = (lambda: asyncio.sleep(3600)), None

    async def scene(fleet: Fleet) -> None:
        answers = await asyncio.gather(*(ask(fleet) for _ in range(10)))
        assert answers == [B] * 10 and asyncio.get_running_loop().time() == pytest.approx(PATIENCE_S + LIVE_TIMEOUT_S)
        assert await ask(fleet) == B
        assert scripted.made[0].asked == 5

    play(scene, A, B)


def test_a_slow_one_that_lives_is_waited_for(play: Any, scripted: type[Scripted]) -> None:
    async def slow() -> str:
        await asyncio.sleep(20)
        return "slow"

    scripted.answers[A] = scripted.answers[B] = slow
    assert play(ask, A, B) == "slow"


@pytest.mark.parametrize("said", [ServerBusyError("starting"), ServerError("no such page")])
def test_whatever_it_says_it_lives(
    play: Any, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch, said: Exception
) -> None:
    async def is_live(self: Scripted, timeout_s: float) -> bool:
        raise said

    async def slow() -> str:
        await asyncio.sleep(2)
        return "slow"

    monkeypatch.setattr(Scripted, "is_live", is_live)
    scripted.answers[A] = scripted.answers[B] = slow
    assert play(ask, A, B) == "slow"


@pytest.mark.parametrize("error", [ImageError("bad"), ServerError("no"), ModelProcessError("died")])
def test_what_another_would_not_mend_is_raised(play: Any, scripted: type[Scripted], error: Exception) -> None:
    scripted.answers[A] = scripted.answers[B] = error

    async def scene(fleet: Fleet) -> None:
        with pytest.raises(type(error)) as caught:
            await ask(fleet)
        assert caught.value is error
        assert sum(client.asked for client in scripted.made) == 1

    play(scene, A, B)


def test_all_failures_become_one_that_names_all(play: Any, scripted: type[Scripted]) -> None:
    scripted.answers.update({A: DOWN, B: ServerBusyError("full"), C: ModelNotFoundError("not here")})

    async def scene(fleet: Fleet) -> None:
        with pytest.raises(ServerBusyError, match=r"^full; down; not here$"):
            await ask(fleet)
        with pytest.raises(TimeoutError):  # of one that may be the first to be ready again
            scripted.answers.update(dict.fromkeys((A, B, C), DeadlineExceededError("late")))
            await ask(fleet)

    play(scene, A, B, C)


def test_when_all_are_dead_they_are_asked_all_the_same(play: Any, scripted: type[Scripted]) -> None:
    scripted.answers.update({A: DOWN, B: DOWN})
    scripted.lives.update({A: False, B: False})

    async def scene(fleet: Fleet) -> None:
        with pytest.raises(ServerUnavailableError, match=r"^down; the same at 10\.0\.0\.[12]:8001$"):
            await ask(fleet)
        del scripted.answers[A], scripted.answers[B]
        assert await ask(fleet) in (A, B)

    play(scene, A, B)


def test_a_deadline_holds_for_all_together(play: Any, scripted: type[Scripted]) -> None:
    scripted.answers[A] = lambda: asyncio.sleep(3600)
    scripted.answers[B] = lambda: asyncio.sleep(3600)
    scripted.lives.update({A: None, B: None})
    left: list[float] = []

    async def note(client: Any, timeout_s: float) -> Any:
        left.append(timeout_s)
        return await client.infer(timeout_s)

    async def scene(fleet: Fleet) -> None:
        with pytest.raises(ServerUnavailableError, match="stopped answering"):
            await fleet.ask(note, 10)

    play(scene, A, B)
    assert left == [pytest.approx(10), pytest.approx(10 - PATIENCE_S - LIVE_TIMEOUT_S)]


def test_asking_all(play: Any, scripted: type[Scripted]) -> None:
    scripted.answers[B] = DOWN
    assert play(lambda fleet: fleet.ask_all(infer, 30), A, B) == {A: A, B: DOWN}
    assert play(lambda fleet: fleet.ask_all(infer, 30), B) == {B: DOWN}


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
