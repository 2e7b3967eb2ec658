"""Servers that answer what a test sets, and a loop whose time passes at once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from tritonface import Connection, DeadlineExceededError, ServerUnavailableError
from tritonface._fleet import Fleet

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


async def infer(client: Any, timeout_s: float) -> Any:
    return await client.infer(timeout_s)


async def ask(fleet: Fleet, timeout_s: float = 30) -> Any:
    return await fleet.ask(infer, timeout_s)
