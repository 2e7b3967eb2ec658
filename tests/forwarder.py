"""Hands TCP connections on to a server: at other addresses, with TLS, or, after a word, not any more."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any


class Forwarder:
    """Listens from a thread of its own; a context manager.

    Args:
        port: of the server on 127.0.0.1.
        hosts: addresses of this machine to listen on, all with the same port.
        context: ends TLS here.

    Attributes:
        port: where it listens.
        received: bytes from clients, by the address to which they came.
        is_silent: whether it takes what comes and hands nothing on, as a machine that hangs.
    """

    def __init__(self, port: int, hosts: Sequence[str] = ("127.0.0.1",), context: ssl.SSLContext | None = None) -> None:
        self._target, self._hosts, self._context = port, hosts, context
        self.port = 0
        self.received: Counter[str] = Counter()
        self.is_silent = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listening: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []

    def __enter__(self) -> Forwarder:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def urls(self) -> list[str]:
        return [f"{host}:{self.port}" for host in self._hosts]

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        for host in self._hosts:
            listening = await asyncio.start_server(self._forward, host, self.port, ssl=self._context)
            self.port = listening.sockets[0].getsockname()[1]
            self._listening.append(listening)

    async def _end(self) -> None:
        for listening in self._listening:
            listening.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # the sockets go with the next turn of the loop

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = (writer.get_extra_info("sockname") or [""])[0]  # the client may have gone already
        self._writers.append(writer)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.append(inner_writer)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, comes: bool) -> None:
            try:
                while data := await source.read(2**16):
                    self.received[host] += comes * len(data)
                    if not self.is_silent:
                        target.write(data)
                        await target.drain()
            except OSError:
                pass
            finally:
                target.close()

        await asyncio.gather(copy(reader, inner_writer, True), copy(inner_reader, writer, False))
