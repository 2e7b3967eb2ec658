"""Room for what is on its way from decoding to NMS: a ledger in memory that the steps of one server share.

The first step takes a ticket before it decodes, the last one gives it back; in between, Triton alone knows where a
request is. It tells nobody when it drops one between two steps, so a ticket that is not given back counts as lost: at
once where its process died while it decoded, where networks have nothing to do although there are tickets, and else
after a multiple of the time that others took. A ticket that comes back late still tells how long it took.
"""

from __future__ import annotations

import os
import secrets
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tritonface_server.shared_file import SharedFile

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
FREE_S = 0.05
"""A network whose process has been free for so long has no queue; a request needs a few milliseconds to reach it."""

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
ROW = np.dtype(
    [
        ("ticket", "u8"),
        ("taken_s", "f8"),
        ("handed_on_s", "f8"),  # 0 as long as the process that took it has it
        ("expires_s", "f8"),
        ("bytes", "i8"),
        ("work_bytes", "i8"),
    ]
)
WORKERS = 1024
WORKER = np.dtype([("network", "u8"), ("in_hand", "i8"), ("free_since_s", "f8")])


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
        self.path = ledger_file(name, folder)
        self._file = SharedFile(self.path, PREFIX, HEADER.itemsize + ROWS * ROW.itemsize + WORKERS * WORKER.itemsize)
        self._header = np.frombuffer(self._file.memory, HEADER, 1)[0:1]
        self._rows = np.frombuffer(self._file.memory, ROW, ROWS, HEADER.itemsize)
        self._workers = np.frombuffer(self._file.memory, WORKER, WORKERS, HEADER.itemsize + ROWS * ROW.itemsize)
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
        i = self._take_in_time(size_bytes, budget, patience_s, check)
        ticket = int(self._rows["ticket"][i])
        try:
            yield ticket
        except BaseException:
            self.give_back(ticket, answered=False)
            raise
        finally:
            if self._rows["ticket"][i] == ticket:
                self._rows["handed_on_s"][i] = time.monotonic()
            self._file.release(i)

    def join(self, network: str) -> None:
        """Tell from now on, by `working`, whether this process of a network has something to do."""
        with self._file.writing():
            for i in range(WORKERS):
                if self._file.hold(ROWS + i):
                    self._workers[i] = (zlib.crc32(network.encode()) + 1, 0, time.monotonic())
                    self._worker = self._workers[i : i + 1]
                    return
        raise RuntimeError(f"more than {WORKERS} processes of networks")

    @contextmanager
    def working(self, requests: int) -> Iterator[None]:
        """The block works on so many requests, for a process that has joined."""
        self._worker["in_hand"] = requests
        try:
            yield
        finally:
            self._worker["free_since_s"], self._worker["in_hand"] = time.monotonic(), 0

    def give_back(self, ticket: int, answered: bool = True) -> None:
        """Free the room of a ticket, and learn from the time it took to answer; an unknown one has no effect."""
        if ticket == NO_TICKET:
            return
        with self._file.writing():
            for i in np.flatnonzero(self._rows["ticket"] == ticket):
                row = self._rows[i]
                if answered and row["taken_s"] > self._header["loaded_s"][0]:
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
        self._file.close()

    def _take_in_time(self, size_bytes: int, budget: Budget, patience_s: float, check: Callable[[], None]) -> int:
        deadline_s = time.monotonic() + patience_s
        while True:
            given_back = int(self._header["given_back"][0])
            i = self._take(size_bytes, budget)
            if i is not None:
                return i
            check()
            for _ in range(POLLS):
                if time.monotonic() >= deadline_s:
                    raise NoRoomError
                time.sleep(POLL_INTERVAL_S)
                if given_back != self._header["given_back"][0]:
                    break

    def _take(self, size_bytes: int, budget: Budget) -> int | None:
        """The row of a ticket if there is room and nobody waits for longer."""
        with self._file.writing():
            now_s, header = time.monotonic(), self._header[0]
            used = self.under_way()
            if not fits(size_bytes, used, budget):
                self._end_lost(now_s)
                used = self.under_way()
            turn = header["head"] in (NO_TICKET, self._own_number) or now_s - header["head_seen_s"] > HEAD_OF_LINE_S
            if turn and fits(size_bytes, used, budget):
                header["head"] = NO_TICKET
                return self._write(size_bytes, used, now_s)
            if turn:
                header["head"], header["head_seen_s"] = self._own_number, now_s
            return None

    def _write(self, size_bytes: int, used: Budget, now_s: float) -> int:
        work_bytes = _work_bytes(used, size_bytes)
        live = self._live(now_s)
        # The row that was free first: what expired last may still come back and tell how long it took.
        free = np.where(live, np.inf, np.where(self._rows["ticket"] == NO_TICKET, 0, self._rows["expires_s"]))
        i = int(free.argmin())
        # Locked by somebody else only where that one is late with the ticket that was here; it then just expires.
        handed_on_s = 0 if self._file.hold(i) else now_s
        expires_s = now_s + self.expiry_s(work_bytes)
        self._rows[i] = (secrets.randbits(62) + 1, now_s, handed_on_s, expires_s, size_bytes, work_bytes)
        return i

    def _end_lost(self, now_s: float) -> None:
        """Let tickets expire now that nobody can give back."""
        live = self._live(now_s)
        had = live & (self._rows["handed_on_s"] == 0)
        lost = [i for i in np.flatnonzero(had) if not self._file.is_held(i)]
        past = np.flatnonzero(live & (self._rows["handed_on_s"] > 0) & (self._rows["handed_on_s"] < now_s - FREE_S))
        past = past[np.argsort(self._rows["handed_on_s"][past])]
        lost += list(past[: max(len(past) - self._most_past_decoding(now_s), 0)])
        self._rows["expires_s"][lost] = now_s
        self._header["given_back"] += len(lost)

    def _most_past_decoding(self, now_s: float) -> int:
        """How many requests can be alive that were handed on a while ago: those that networks have in hand.

        So it is where every network has a process that has been free for a while, as none then has a queue. Elsewhere,
        and where the networks do not tell, as many as there are rows.
        """
        networks = self._workers["network"]
        for i in np.flatnonzero(networks):
            if not self._file.is_held(ROWS + i):
                self._workers[i] = (0, 0, 0)
        free = (self._workers["in_hand"] == 0) & (self._workers["free_since_s"] < now_s - FREE_S)
        there = set(networks[networks > 0].tolist())
        if not there or there - set(networks[free].tolist()):
            return ROWS
        return int(self._workers["in_hand"].sum())

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


def fits(size_bytes: int, used: Budget, budget: Budget, count: int = 1) -> bool:
    """Whether there is room for so many requests of this size, or nobody else is there."""
    room = used.requests + count <= budget.requests and used.bytes + count * size_bytes <= budget.bytes
    return room or not used.requests


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
