"""Large images handed to a server on the same machine through shared memory instead of the network.

Each image under way has a region of its own, a file in /dev/shm that the server has mapped and that loses its name at
once, so that no file outlives a crash. Regions are kept for the next image. One whose request was given up may still
be read by the server: it is not used again, and the server is told to forget it only after a while.

No image waits for any of this: without a region that is free it travels with its request, and one is made meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import mmap
import os
import struct
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tritonface._errors import DeadlineExceededError, ServerUnavailableError, TritonFaceError
from tritonface._limits import MAX_RETRY_DELAY_S, MAX_SHARED_BYTES

log = logging.getLogger("tritonface")

FROM_BYTES = 2**18
"""Smaller images travel with the request."""

FOLDER = Path("/dev/shm")
MOST_OF_FREE = 1 / 8
"""A region takes no more of what is free there: the server needs it more, and dies without."""
SHORT_TIMEOUT_S = 2.0
"""For a call about a region; an image has other ways to travel."""
PAUSE_S = 30.0
"""After a server has refused a region, before it is asked for another one."""
FIRST_DELAY_S, PATIENCE_S = 0.05, 60.0
"""First pause, and the longest time, of asking a server to forget a region."""
UNKNOWN_REGION = "shared memory region"
"""Part of the message of a server that has been started anew and does not know a region any more."""
IN_USE = "in use"
"""Part of the message of a server that still reads a region; any other refusal is its last word."""


class Region:
    """Memory that this process writes and the server reads.

    Raises:
        OSError: there is no shared memory, or not enough.
    """

    def __init__(self, least_bytes: int) -> None:
        self.size = 1 << (least_bytes - 1).bit_length()
        room = os.statvfs(FOLDER)
        if self.size > room.f_bavail * room.f_frsize * MOST_OF_FREE:
            raise OSError(errno.ENOSPC, "the rest of /dev/shm is left to others", str(FOLDER))
        self.name = f"tritonface-{os.getpid()}-{uuid.uuid4().hex}"
        self.path = FOLDER / self.name
        file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(file, 0, self.size)  # now, for a full /dev/shm would end the process later
            self._memory = mmap.mmap(file, self.size)
        except BaseException:
            self.forget_name()
            raise
        finally:
            os.close(file)

    def forget_name(self) -> None:
        """Remove the file; the memory stays as long as somebody has it mapped."""
        self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> int:
        """Store one BYTES element as Triton reads it, length first; returns the number of bytes stored."""
        self._memory[:4] = struct.pack("<I", len(data))
        self._memory[4 : 4 + len(data)] = data
        return 4 + len(data)

    def close(self) -> None:
        """Give the memory back, as far as this process is concerned."""
        self._memory.close()


class SharedMemory:
    """The regions of one connection.

    Args:
        register: makes the server map a region, called with name, key, size and seconds.
        unregister: makes it forget one, called with its name; fails as long as a request reads it.
    """

    def __init__(
        self, register: Callable[[str, str, int, float], Awaitable[Any]], unregister: Callable[[str], Awaitable[Any]]
    ) -> None:
        self._register = register
        self._unregister = unregister
        self._known: set[Region] = set()
        self._free: list[Region] = []
        self._bytes = 0  # of all regions that the server may have mapped
        self._adding: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._ask_again_at = 0.0
        self._closed = False

    def take(self, data: bytes) -> Region | None:
        """A region that holds this many bytes; None for small images, and where there is none yet, or never."""
        if self._closed or len(data) < FROM_BYTES:
            return None
        for region in self._free:
            if region.size >= len(data) + 4:
                self._free.remove(region)
                return region
        if self._adding is None and time.monotonic() >= self._ask_again_at:
            made = self._make(len(data) + 4)
            if made is not None:
                self._adding = asyncio.get_running_loop().create_task(self._add(made))
        return None

    async def _add(self, made: Region) -> None:
        """Have the server map a region, for a later image; a server that refuses is asked again after a while."""
        try:
            await self._register(made.name, f"/{made.name}", made.size, SHORT_TIMEOUT_S)
        except (DeadlineExceededError, ServerUnavailableError) as error:
            self.give_up(made)  # it may have mapped it all the same
            if isinstance(error, DeadlineExceededError):
                self._ask_again_at = time.monotonic() + PAUSE_S
        except TritonFaceError as error:  # it has said no
            self._forget(made)
            self._ask_again_at = time.monotonic() + PAUSE_S
            log.debug("images travel over the network for %.0f s, not through shared memory: %s", PAUSE_S, error)
        except BaseException:
            self.give_up(made)
            raise
        else:
            self.give_back(made)
        finally:
            made.forget_name()
            self._adding = None

    def give_back(self, region: Region) -> None:
        """The server has answered and reads it no more."""
        if region in self._known:
            self._free.append(region)

    def give_up(self, *regions: Region) -> None:
        """The server may still read them; their memory is free when it has stopped."""
        for region in self._known.intersection(regions):
            self._known.remove(region)
            region.close()
            task = asyncio.get_running_loop().create_task(self._leave(region))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        self._free = [region for region in self._free if region in self._known]

    def give_up_unknown(self, region: Region) -> None:
        """The server does not know this one: it has been started anew, and knows none of the others either."""
        self.give_up(region, *self._free)

    async def close(self, timeout_s: float) -> None:
        """Take leave of all regions; those of requests under way as soon as the server has done with them."""
        self._closed = True
        if self._adding is not None:
            await asyncio.wait({self._adding}, timeout=timeout_s)  # SHORT_TIMEOUT_S at most
        self.give_up(*self._known)
        if self._leaving:
            _, late = await asyncio.wait(self._leaving, timeout=timeout_s)
            for task in late:
                task.cancel()

    def _make(self, least_bytes: int) -> Region | None:
        if self._bytes + least_bytes > MAX_SHARED_BYTES:
            self.give_up(*self._free)  # too small for this image; there is room for a later one
        if self._bytes + least_bytes > MAX_SHARED_BYTES:
            return None
        try:
            region = Region(least_bytes)
        except OSError:
            return None
        self._known.add(region)
        self._bytes += region.size
        return region

    def _forget(self, region: Region) -> None:
        """Free a region that the server has never mapped."""
        if region in self._known:
            self._known.remove(region)
            region.close()
            self._bytes -= region.size

    async def _leave(self, region: Region) -> None:
        """Ask the server to forget a region until it does: not as long as it reads, nor while it is away."""
        patience_ends_at, delay_s = time.monotonic() + PATIENCE_S, FIRST_DELAY_S
        while time.monotonic() < patience_ends_at:
            try:
                await self._unregister(region.name)
                break
            except TritonFaceError as error:
                if isinstance(error, ServerUnavailableError):
                    has_ended = self._closed  # there is none that would read it
                else:
                    has_ended = not isinstance(error, DeadlineExceededError) and IN_USE not in error.message
                if has_ended:
                    break
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, MAX_RETRY_DELAY_S)
        self._bytes -= region.size


def is_possible(url: str) -> bool:
    """Whether host:port is this machine, by its address, and it has shared memory."""
    host = url.rpartition(":")[0].strip("[]")
    try:
        return FOLDER.is_dir() and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
