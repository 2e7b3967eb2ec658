"""Which of several scripted servers is asked, and what becomes of those that cannot answer, on a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.unit.client.scripted_servers import DOWN, A, B, C, Scripted, ask, infer
from tritonface import (
    DeadlineExceededError,
    ImageError,
    ModelNotFoundError,
    ModelProcessError,
    ServerBusyError,
    ServerError,
    ServerUnavailableError,
)
from tritonface._fleet import FIRST_PAUSE_S, LIVE_TIMEOUT_S, PATIENCE_S, Fleet
from tritonface._limits import MAX_RETRY_DELAY_S


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
        await asyncio.gather(*(ask(fleet) for _ in range(10)))  # of those that fail together one counts
        assert scripted.made[0].asked == 5
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


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are as long as they can be."""
    monkeypatch.setattr("tritonface._fleet.random.uniform", lambda low, high: high)


@pytest.mark.usefixtures("steady")
def test_of_several_that_are_turned_away_together_one_counts(play: Any, scripted: type[Scripted]) -> None:
    async def full() -> None:
        await asyncio.sleep(0.01)
        raise ServerBusyError("full")

    scripted.answers[A] = full

    async def scene(fleet: Fleet) -> None:
        await asyncio.gather(*(ask(fleet) for _ in range(10)))
        assert scripted.made[0].asked == 5
        await asyncio.sleep(FIRST_PAUSE_S)
        await asyncio.gather(*(ask(fleet) for _ in range(10)))
        assert scripted.made[0].asked == 10

    play(scene, A, B)


@pytest.mark.usefixtures("steady")
def test_after_an_answer_pauses_begin_anew(play: Any, scripted: type[Scripted]) -> None:
    async def scene(fleet: Fleet) -> None:
        for pause_s, answer in (
            (FIRST_PAUSE_S, "full"),
            (2 * FIRST_PAUSE_S, "full"),
            (0, "yes"),
            (FIRST_PAUSE_S, "full"),
            (0, "yes"),
        ):
            scripted.answers[A] = ServerBusyError(answer) if answer == "full" else answer
            before = scripted.made[0].asked
            await asyncio.gather(ask(fleet), ask(fleet))
            assert scripted.made[0].asked == before + 1
            await asyncio.sleep(max(0, pause_s - 0.01))
            if pause_s:
                assert {await ask(fleet) for _ in range(40)} == {B}
            await asyncio.sleep(0.01)

    play(scene, A, B)


@pytest.mark.usefixtures("steady")
def test_where_all_rest_or_are_dead_the_first_to_be_ready_is_asked(play: Any, scripted: type[Scripted]) -> None:
    scripted.answers.update({A: DOWN, B: ServerBusyError("full")})
    scripted.lives[A] = False

    async def scene(fleet: Fleet) -> None:
        await asyncio.gather(*(ask(fleet) for _ in range(3)))
        await asyncio.sleep(0.1)
        scripted.answers[C] = ServerBusyError("full")
        with pytest.raises(ServerBusyError):
            await ask(fleet)
        asked = [client.asked for client in scripted.made]
        for _ in range(10):
            with pytest.raises(ServerBusyError):
                await ask(fleet)
        assert [client.asked for client in scripted.made] == [asked[0], asked[1] + 10, asked[2]]

    play(scene, A, B, C)


def test_a_silent_one_loses_what_waits_for_it(
    play: Any, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process, a machine that is gone: the connection stands, and nothing comes; one look is for all."""
    scripted.answers[A], scripted.lives[A] = (lambda: asyncio.sleep(3600)), None
    looks, is_live = [], Scripted.is_live

    def counted(self: Scripted, timeout_s: float) -> Awaitable[bool]:
        looks.append(timeout_s)
        return is_live(self, timeout_s)

    monkeypatch.setattr(Scripted, "is_live", counted)

    async def scene(fleet: Fleet) -> None:
        answers = await asyncio.gather(*(ask(fleet) for _ in range(10)))
        assert len(looks) == 1
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
