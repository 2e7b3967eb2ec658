"""A fleet of scripted servers, on a clock of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.client.scripted_servers import Loop, Scripted
from tritonface import Connection
from tritonface._fleet import Fleet


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    """The class of the clients that fleets make, without answers yet."""
    monkeypatch.setattr("tritonface._fleet.Client", Scripted)
    for name in ("answers", "lives"):
        monkeypatch.setattr(Scripted, name, {})
    monkeypatch.setattr(Scripted, "made", [])
    return Scripted


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, scripted: type[Scripted]) -> Callable[..., Any]:
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
