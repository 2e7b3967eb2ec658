"""Large images handed to a server on the same machine through shared memory instead of the network.

Each image under way has a region of its own, a file in /dev/shm that the server has mapped and that loses its name at
once, so that no file outlives a crash. Regions are kept for the next image. One whose request was given up may still
be read by the server: it is not used again, and the server is told to forget it only after a while.
"""

from __future__ import annotations

import ipaddress
import mmap
import os
import struct
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tritonface._errors import TritonFaceError

FROM_BYTES = 2**18
"""Smaller images travel with the request."""

FOLDER = Path("/dev/shm")
GRACE_S = 60.0
UNKNOWN_REGION = "shared memory region"
"""Part of the message of a server that has been started anew and does not know a region any more."""


class Region:
    """Memory that this process writes and the server reads.

    Raises:
        OSError: there is no shared memory, or not enough.
    """

    def __init__(self, least_bytes: int) -> None:
        self.size = 1 << (least_bytes - 1).bit_length()
        self.name = f"tritonface-{uuid.uuid4().hex}"
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
        register: makes the server map a region, called with name, key and size.
        unregister: makes it forget one.
    """

    def __init__(
        self, register: Callable[[str, str, int], Awaitable[Any]], unregister: Callable[[str], Awaitable[Any]]
    ) -> None:
        self._register = register
        self._unregister = unregister
        self._free: list[Region] = []
        self._given_up: list[tuple[float, Region]] = []
        self._refused = False

    async def take(self, data: bytes) -> Region | None:
        """A region that holds this many bytes; None for small images, and when the server, or this machine, refuses."""
        if len(data) < FROM_BYTES or self._refused:
            return None
        for region in self._free:
            if region.size >= len(data) + 4:
                self._free.remove(region)
                return region
        try:
            region = Region(len(data) + 4)
        except OSError:
            return None
        try:
            await self._register(region.name, f"/{region.name}", region.size)
        except TritonFaceError:
            self._refused = True
            region.close()
            return None
        finally:
            region.forget_name()
        return region

    def give_back(self, region: Region) -> None:
        """The server has answered and reads it no more."""
        self._free.append(region)

    def give_up(self, region: Region) -> None:
        """The server may still read it."""
        self._given_up.append((time.monotonic(), region))

    def forget(self, region: Region) -> None:
        """The server has been started anew and knows none of the regions."""
        for known in (region, *self._free):
            known.close()
        self._free.clear()

    async def close(self) -> None:
        """Take leave of all regions that nobody reads."""
        longest = time.monotonic() - GRACE_S
        for region in (*self._free, *(region for since, region in self._given_up if since < longest)):
            try:
                await self._unregister(region.name)
            except TritonFaceError:  # the server has gone, and its mappings with it
                break
        for region in (*self._free, *(region for _, region in self._given_up)):
            region.close()
        self._free.clear()


def is_possible(url: str) -> bool:
    """Whether host:port is this machine, by its address, and it has shared memory."""
    host = url.rpartition(":")[0].strip("[]")
    try:
        return FOLDER.is_dir() and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
