"""Room for what is on its way from decoding to NMS: a ledger in memory that the steps of one server share.

The first step takes a ticket before it decodes, the last one gives it back; in between, Triton alone knows where a
request is. It tells nobody when it drops one between two steps, so a ticket that is not given back expires, after a
multiple of the time that others took. A ticket that comes back late still tells how long it took.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

SHARED_MEMORY = Path("/dev/shm")
PREFIX = "tritonface-admission-"
ROWS = 512
"""More than any budget has requests."""
NO_TICKET = 0

POLL_INTERVAL_S = 0.005
POLLS = 8
"""After so many the rows are looked at even if nothing was given back, for tickets that have expired."""
HEAD_OF_LINE_S = 0.2
"""How long the one who waits longest keeps its place without asking again; it may have died."""
LOCK_PATIENCE_S = 0.05
"""The lock is held for microseconds. Whoever is stopped while holding it must not stop the others."""

MIN_EXPIRY_S, MAX_EXPIRY_S, FIRST_EXPIRY_S = 0.5, 30.0, 10.0
MARGIN = 2
MEAN_SHARE, DEVIATION_SHARE, DEVIATIONS = 1 / 8, 1 / 4, 4  # as TCP estimates when a packet is lost (RFC 6298)
REQUEST_BYTES = 2**18
"""A request costs as much time as so many bytes of picture, however small its pictures are."""

HEADER = np.dtype(
    [
        ("mean_s", "f8"),
        ("deviation_s", "f8"),
        ("head", "u8"),
        ("head_seen_s", "f8"),
        ("given_back", "u8"),
        ("loaded_s", "f8"),
    ]
)
ROW = np.dtype([("ticket", "u8"), ("taken_s", "f8"), ("expires_s", "f8"), ("bytes", "i8"), ("work_bytes", "i8")])


class Budget(NamedTuple):
    """What may be on its way at once; a single request always may."""

    requests: int
    bytes: int


class NoRoomError(Exception):
    """There was no room in time."""


class Ledger:
    """Tickets of requests, by random number, so that nobody gives back another one's by guessing.

    Not for several threads of one process.

    Args:
        name: those who give the same name share a ledger. It is removed when the last of them closes it, or, where they
            were killed, when the next one of any name is opened.
        folder: where it lies.
    """

    def __init__(self, name: str, folder: Path = SHARED_MEMORY) -> None:
        _remove_abandoned(folder)
        self.path = ledger_file(name, folder)
        self._descriptor = _open_shared(self.path)
        os.ftruncate(self._descriptor, HEADER.itemsize + ROWS * ROW.itemsize)  # zeros, or what is there already
        memory = mmap.mmap(self._descriptor, HEADER.itemsize + ROWS * ROW.itemsize)
        self._header = np.frombuffer(memory, HEADER, 1)[0:1]
        self._rows = np.frombuffer(memory, ROW, ROWS, HEADER.itemsize)
        self._own_number = secrets.randbits(63)

    @contextmanager
    def room(
        self, size_bytes: int, budget: Budget, patience_s: float, check: Callable[[], None] = lambda: None
    ) -> Iterator[int]:
        """A ticket, to be given back by somebody else, or at once where the block fails.

        Args:
            size_bytes: of the request's pictures.
            patience_s: how long to wait for room.
            check: called every now and then meanwhile; what it raises ends the waiting.

        Raises:
            NoRoomError: there is none.
        """
        ticket = self._take_in_time(size_bytes, budget, patience_s, check)
        try:
            yield ticket
        except BaseException:
            self.give_back(ticket)
            raise

    def give_back(self, ticket: int) -> None:
        """Free the room of a ticket, and learn from the time it took; an unknown one has no effect."""
        if ticket == NO_TICKET:
            return
        with self._locked():
            for i in np.flatnonzero(self._rows["ticket"] == ticket):
                row = self._rows[i]
                if row["taken_s"] > self._header["loaded_s"][0]:
                    self._learn((time.monotonic() - row["taken_s"]) / row["work_bytes"])
                row["ticket"] = NO_TICKET
                self._header["given_back"] += 1

    def network_loaded(self) -> None:
        """Learn nothing from the requests under way: they may have waited for the network that has just been loaded."""
        self._header["loaded_s"] = time.monotonic()

    def under_way(self) -> Budget:
        """The requests that hold room, and their bytes."""
        live = self._live(time.monotonic())
        return Budget(int(live.sum()), int(self._rows["bytes"][live].sum()))

    def usual_s(self, size_bytes: int) -> float:
        """How long a request of this size would usually take if it got room now; 0 where nothing is known yet."""
        used = self.under_way()
        return float(self._header[0]["mean_s"]) * _work_bytes(used, size_bytes)

    def expiry_s(self, work_bytes: int) -> float:
        """After which time a ticket counts as lost, where so many bytes are ahead of its request and in it."""
        header = self._header[0]
        if not header["mean_s"]:
            return FIRST_EXPIRY_S
        usual_s = (header["mean_s"] + DEVIATIONS * header["deviation_s"]) * work_bytes
        return min(max(MARGIN * float(usual_s), MIN_EXPIRY_S), MAX_EXPIRY_S)

    def close(self) -> None:
        """Leave the ledger; the last one removes it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        _remove_unless_used(self._descriptor, self.path)
        os.close(self._descriptor)

    def _take_in_time(self, size_bytes: int, budget: Budget, patience_s: float, check: Callable[[], None]) -> int:
        deadline_s = time.monotonic() + patience_s
        while True:
            given_back = int(self._header["given_back"][0])
            ticket = self._take(size_bytes, budget)
            if ticket != NO_TICKET:
                return ticket
            check()
            for _ in range(POLLS):
                if time.monotonic() >= deadline_s:
                    raise NoRoomError
                time.sleep(POLL_INTERVAL_S)
                if given_back != self._header["given_back"][0]:
                    break

    def _take(self, size_bytes: int, budget: Budget) -> int:
        """A ticket if there is room and nobody waits for longer."""
        with self._locked():
            now_s, header = time.monotonic(), self._header[0]
            live = self._live(now_s)
            used = Budget(int(live.sum()), int(self._rows["bytes"][live].sum()))
            fits = used.requests < budget.requests and used.bytes + size_bytes <= budget.bytes
            turn = header["head"] in (NO_TICKET, self._own_number) or now_s - header["head_seen_s"] > HEAD_OF_LINE_S
            if turn and (fits or not used.requests):
                header["head"] = NO_TICKET
                return self._write(size_bytes, used, now_s, live)
            if turn:
                header["head"], header["head_seen_s"] = self._own_number, now_s
            return NO_TICKET

    def _write(self, size_bytes: int, used: Budget, now_s: float, live: np.ndarray) -> int:
        work_bytes = _work_bytes(used, size_bytes)
        ticket = secrets.randbits(62) + 1
        # The row that was free first: what expired last may still come back and tell how long it took.
        free = np.where(live, np.inf, np.where(self._rows["ticket"] == NO_TICKET, 0, self._rows["expires_s"]))
        expires_s = now_s + self.expiry_s(work_bytes)
        self._rows[free.argmin()] = (ticket, now_s, expires_s, size_bytes, work_bytes)
        return ticket

    def _live(self, now_s: float) -> np.ndarray:
        return (self._rows["ticket"] != NO_TICKET) & (self._rows["expires_s"] > now_s)

    def _learn(self, s_per_byte: float) -> None:
        header = self._header[0]
        if not header["mean_s"]:
            header["mean_s"], header["deviation_s"] = s_per_byte, s_per_byte / 2
            return
        error = s_per_byte - header["mean_s"]
        header["deviation_s"] += DEVIATION_SHARE * (abs(error) - header["deviation_s"])
        header["mean_s"] += MEAN_SHARE * error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the ledger; its lock ends with the process. Unlike the one in `_open_shared`, it is this one's."""
        deadline_s = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline_s:
                    break  # two may now write at once: room for one request too many, or a ticket that expires
                time.sleep(0.0001)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _work_bytes(used: Budget, size_bytes: int) -> int:
    """What has to be worked on until a request is answered that comes after others."""
    return used.bytes + size_bytes + REQUEST_BYTES * (used.requests + 1)


def ledger_file(name: str, folder: Path = SHARED_MEMORY) -> Path:
    """Where a ledger lies."""
    return folder / f"{PREFIX}{name}"


def server_name(server_pid: int | None = None) -> str:
    """What names the server whose process has started this one, and no other before or after it."""
    pid = os.getppid() if server_pid is None else server_pid
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # in clock ticks since the boot
    namespace = Path("/proc/self/ns/pid").stat().st_ino  # containers may share /dev/shm
    return f"{namespace}-{pid}-{start}"


def _open_shared(path: Path) -> int:
    """A descriptor of the file, created if need be, with a lock that tells that somebody uses it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # removed by the last user in this moment


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or gone by now
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            _remove_unless_used(descriptor, path)
            os.close(descriptor)


def _remove_unless_used(descriptor: int, path: Path) -> None:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # otherwise the path is another one's by now
            path.unlink()
