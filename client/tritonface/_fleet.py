"""Several servers as one: a request goes to the least busy that is alive, and from one that cannot take it to another.

A single server is asked without any of this.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from tritonface._addresses import Place, is_name, places_of
from tritonface._client import Client
from tritonface._connection import Connection
from tritonface._errors import (
    DeadlineExceededError,
    ModelNotFoundError,
    ModelProcessError,
    ServerBusyError,
    ServerUnavailableError,
    TritonFaceError,
)
from tritonface._failures import unavailable
from tritonface._limits import MAX_RETRY_DELAY_S
from tritonface._turns import Turns

T = TypeVar("T")
Call = Callable[[Client, float], Awaitable[T]]
"""A question to a server, with the seconds that are left for it."""

FIRST_PAUSE_S = 0.25
"""For how long a server that could not take a request is left alone; it doubles until the server answers one."""
PATIENCE_S, LIVE_TIMEOUT_S = 0.25, 1.0
"""A request waits so long for its answer before the server is asked whether it lives, and so long for that answer."""
LOOK_UP_INTERVAL_S, LOOK_UP_AGAIN_S = 30.0, 1.0
"""How old the addresses of a name may be; and after a server has died."""

log = logging.getLogger("tritonface")


class Server:
    """One of several.

    Attributes:
        is_dead: it does not answer; it is asked now and then whether it lives.
        rests_until_s: when it may be asked again, having been unable to take a request; of the monotonic clock.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.is_dead = False
        self.rests_until_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._waiting: set[asyncio.Future[Any]] = set()
        self._look: asyncio.Task[bool] | None = None
        self._revival: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """How many requests of ours it has not answered yet."""
        return len(self._waiting)

    async def ask(self, call: Call[T], timeout_s: float) -> T:
        """What it answers; ServerUnavailableError too when it has stopped saying anything at all."""
        task = asyncio.ensure_future(call(self.client, timeout_s))
        self._waiting.add(task)
        try:
            while not (await asyncio.wait({task}, timeout=PATIENCE_S))[0]:
                await self._look_at(task)
            if task.cancelled():
                raise unavailable(self.client.connection, "it has stopped answering")
            answer = task.result()
        except (ServerBusyError, ModelProcessError, ModelNotFoundError):
            self._rest()
            raise
        except ServerUnavailableError as error:
            self._die(error)
            raise
        finally:
            self._waiting.discard(task)
            task.cancel()
        self.is_dead, self.rests_until_s, self._pause_s = False, 0.0, FIRST_PAUSE_S
        return answer

    async def close(self, after_requests: bool = False) -> None:
        """Close the connections, at once or when what is under way has been answered."""
        try:
            if after_requests and self._waiting:
                await asyncio.wait(self._waiting)
        finally:
            for task in filter(None, (self._look, self._revival)):
                task.cancel()
            await self.client.close()

    async def _look_at(self, task: asyncio.Future[Any]) -> None:
        """Ask it whether it lives while `task` waits for it; if it does not, nothing waits for it any more."""
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(self._lives())
        look = self._look
        await asyncio.wait({task, look}, return_when=asyncio.FIRST_COMPLETED)
        if look.done() and not look.cancelled() and not look.result():
            for waiting in self._waiting:
                waiting.cancel()

    async def _lives(self) -> bool:
        """Whether it, or a gateway before it, says anything."""
        try:
            await self.client.is_live(LIVE_TIMEOUT_S)
        except ServerBusyError:
            return True
        except (ServerUnavailableError, DeadlineExceededError):
            return False
        except TritonFaceError:
            return True
        return True

    def _rest(self) -> None:
        now_s = time.monotonic()
        if now_s >= self.rests_until_s:  # of several requests that fail together one counts
            self.rests_until_s = now_s + self._next_pause_s()

    def _die(self, error: ServerUnavailableError) -> None:
        if not self.is_dead:
            self.is_dead = True
            log.info("left alone until it answers: %s", error)
        if self._revival is None or self._revival.done():
            self._revival = asyncio.ensure_future(self._revive())

    async def _revive(self) -> None:
        while self.is_dead:
            await asyncio.sleep(self._next_pause_s())
            if self.is_dead and await self._lives():
                self.is_dead = False
        log.info("the server at %s answers again", self.client.connection.url)

    def _next_pause_s(self) -> float:
        """Its first half is certain; the rest is random, so that not all clients ask at once."""
        pause_s = random.uniform(0.5, 1) * self._pause_s
        self._pause_s = min(2 * self._pause_s, MAX_RETRY_DELAY_S)
        return pause_s


class Fleet:
    """The servers of a connection; belongs to the event loop in which it is made, with `await Fleet.of(connection)`.

    They are taken for equal: all have the same models, key and certificates.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.closed = False
        self.turns = Turns()
        self._servers: dict[Place, Server] = {}
        self._has_names = any(is_name(url) for url in connection.servers)
        self._look_up_at_s = 0.0
        self._tasks: set[asyncio.Future[Any]] = set()

    @classmethod
    async def of(cls, connection: Connection) -> Fleet:
        """With the addresses of its names; nothing is connected yet."""
        fleet = cls(connection)
        await fleet._look_up()
        return fleet

    async def ask(self, call: Call[T], timeout_s: float) -> T:
        """What the least busy server answers, or, if that cannot take it, the next one, until all have been asked.

        Raises:
            ServerUnavailableError: none can take it now.
            ModelNotFoundError: none has the model.
        """
        self._look_up_in_time()
        if len(self._servers) == 1:
            [only] = self._servers.values()
            return await call(only.client, timeout_s)
        deadline_s = time.monotonic() + timeout_s
        failures: dict[Server, TritonFaceError] = {}
        while (server := self._choose(failures)) is not None:
            try:
                return await server.ask(call, max(deadline_s - time.monotonic(), 1e-3))
            except ModelProcessError:  # perhaps of this request: it is not to meet all servers at once
                raise
            except (ServerUnavailableError, ModelNotFoundError) as error:
                failures[server] = error
                if server.is_dead:
                    self._look_up_at_s = min(self._look_up_at_s, time.monotonic() + LOOK_UP_AGAIN_S)
        raise _of_all(failures)

    async def ask_all(self, call: Call[T], timeout_s: float) -> dict[str, T | TritonFaceError]:
        """What each server answers, by its url, or how it fails."""
        servers = [*self._servers.values()]

        async def answer(server: Server) -> T | TritonFaceError:
            try:
                if len(servers) == 1:
                    return await call(server.client, timeout_s)
                return await server.ask(call, timeout_s)
            except TritonFaceError as error:
                return error

        answers = await asyncio.gather(*map(answer, servers))
        return dict(zip((server.client.connection.url for server in servers), answers))

    async def close(self) -> None:
        """Close all connections; what is under way fails, in a way of the protocol's own."""
        self.closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(server.close() for server in self._servers.values()))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _choose(self, failed: dict[Server, TritonFaceError]) -> Server | None:
        """The next to ask; None if none is left. Where all are dead or rest, the first to be ready again."""
        now_s = time.monotonic()
        ready = [it for it in self._servers.values() if not it.is_dead and now_s >= it.rests_until_s]
        rest = [server for server in ready if server not in failed]
        if rest:
            return min(rest, key=lambda server: (server.under_way, random.random()))
        if failed:
            return None
        return min(self._servers.values(), key=lambda it: (it.is_dead, it.rests_until_s, it.under_way, random.random()))

    def _look_up_in_time(self) -> None:
        if self._has_names and time.monotonic() >= self._look_up_at_s and not self.closed:
            self._look_up_at_s = time.monotonic() + LOOK_UP_INTERVAL_S
            self._start(self._look_up())

    async def _look_up(self) -> None:
        """Take in the servers that names have come to stand for, and leave those that have gone."""
        self._look_up_at_s = time.monotonic() + LOOK_UP_INTERVAL_S
        urls, timeout_s = self.connection.servers, self.connection.timeout_s
        found: dict[Place, None] = {}
        for url, places in zip(urls, await asyncio.gather(*(places_of(url, timeout_s) for url in urls))):
            known = [place for place in self._servers if place.name == url]
            found.update(dict.fromkeys(places or known or [Place(url, url)]))
        gone = [self._servers.pop(place) for place in [*self._servers] if place not in found]
        for place in found:
            if place not in self._servers:
                name = place.name if place.name != place.url else None
                self._servers[place] = Server(Client(replace(self.connection, url=place.url), name))
        for server in gone:
            self._start(server.close(after_requests=True))

    def _start(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _of_all(failures: dict[Server, TritonFaceError]) -> TritonFaceError:
    """One failure that stands for those of several servers: of the kind that is most likely to pass."""
    told, texts = [], []
    for kind in (ServerBusyError, ServerUnavailableError, ModelNotFoundError):
        servers = [server for server, error in failures.items() if type(error) is kind]
        if servers:
            told.append(failures[servers[0]])
            same = ", ".join(server.client.connection.url for server in servers[1:])
            texts.append(told[-1].message + (f"; the same at {same}" if same else ""))
    if len(failures) == 1:
        return told[0]
    failure = type(told[0])("; ".join(texts))
    failure.__cause__ = told[0].__cause__
    return failure
