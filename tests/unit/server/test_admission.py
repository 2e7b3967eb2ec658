"""The ledger that bounds what is on its way: room, order, lost tickets, leftovers of killed processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tritonface_server import admission
from tritonface_server.admission import NO_TICKET, Budget, Ledger, NoRoomError, fits, server_name

BUDGET = Budget(requests=3, bytes=1000)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger("test", tmp_path)
    yield opened
    opened.close()


class Clock:
    """A time that passes when it is told to, however busy the machine is."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(admission.time, "monotonic", made)
    return made


def take(ledger: Ledger, size_bytes: int = 10, patience_s: float = 0.0) -> int:
    with ledger.room(size_bytes, BUDGET, patience_s) as ticket:
        return ticket


def test_an_empty_ledger(ledger: Ledger) -> None:
    assert ledger.under_way() == (0, 0)
    ledger.give_back(NO_TICKET)
    ledger.give_back(4711)
    assert ledger.under_way() == (0, 0)


def test_room_is_bounded_in_requests(ledger: Ledger) -> None:
    tickets = [take(ledger) for _ in range(BUDGET.requests)]
    assert len({*tickets, NO_TICKET}) == BUDGET.requests + 1 and ledger.under_way() == (3, 30)
    with pytest.raises(NoRoomError):
        take(ledger)
    ledger.give_back(tickets[1])
    ledger.give_back(tickets[1])  # twice is once
    assert ledger.under_way() == (2, 20)
    take(ledger)


def test_room_is_bounded_in_bytes(ledger: Ledger) -> None:
    take(ledger, 700)
    with pytest.raises(NoRoomError):
        take(ledger, 301)
    take(ledger, 300)


@pytest.mark.usefixtures("clock")
def test_a_request_beyond_the_budget_goes_alone(ledger: Ledger) -> None:
    ticket = take(ledger, 5000)
    with pytest.raises(NoRoomError):
        take(ledger, 1)
    ledger.give_back(ticket)
    other = take(ledger, 1)
    with pytest.raises(NoRoomError):
        take(ledger, 5000)
    ledger.give_back(other)
    assert take(ledger, 5000) != NO_TICKET


def test_a_failure_gives_back_at_once(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.room(10, BUDGET, 0):
        raise ZeroDivisionError
    assert ledger.under_way() == (0, 0)


def test_what_is_not_answered_teaches_nothing(ledger: Ledger, clock: Clock) -> None:
    """Else a refusal, which takes no time, would make all others look fast: too many would be taken, and come late."""
    answered = take(ledger)
    clock.now_s += 0.1
    ledger.give_back(answered)
    for _ in range(50):
        with pytest.raises(ZeroDivisionError), ledger.room(10, BUDGET, 0):
            raise ZeroDivisionError
        ledger.give_back(take(ledger), answered=False)
    assert ledger.under_way() == (0, 0) and ledger.usual_s(10) == pytest.approx(0.1)


def test_room_for_several(ledger: Ledger) -> None:
    for used, count, has_room in (((0, 0), 9, True), ((1, 10), 2, True), ((2, 10), 2, False), ((1, 990), 2, False)):
        assert fits(10, Budget(*used), BUDGET, count) is has_room


def test_two_processes_share_it(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger("test", tmp_path)
    tickets = [take(ledger) for _ in range(3)]
    assert other.under_way() == (3, 30)
    threading.Timer(0.1, other.give_back, [tickets[0]]).start()
    take(ledger, patience_s=admission.FIRST_EXPIRY_S / 2)  # no ticket has expired by then
    other.close()
    assert ledger.path.exists()


def test_who_waits_longest_goes_first(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    """A large request is not starved by small ones that would still fit."""
    small, large = take(ledger, 100), Ledger("test", tmp_path)
    assert large._take(950, BUDGET) is None
    assert ledger._take(10, BUDGET) is None
    ledger.give_back(small)
    row = large._take(950, BUDGET)
    assert row is not None
    large.give_back(int(large._rows["ticket"][row]))
    assert large._take(2000, BUDGET) is not None
    assert large._take(950, BUDGET) is None
    clock.now_s += 2 * admission.HEAD_OF_LINE_S  # it has died: the next one takes its place in the line
    assert ledger._take(10, BUDGET) is None and ledger._header["head"][0] == ledger._own_number
    large.close()


def test_a_lost_ticket_expires_after_a_multiple_of_the_usual_time(ledger: Ledger, clock: Clock) -> None:
    assert ledger.expiry_s(10) == admission.FIRST_EXPIRY_S
    for _ in range(50):
        ticket = take(ledger)
        clock.now_s += 0.8
        ledger.give_back(ticket)
    work_bytes = 10 + admission.REQUEST_BYTES
    assert 0.8 < ledger.expiry_s(work_bytes) < 3 * 0.8
    assert 4 < ledger.expiry_s(5 * work_bytes) / 0.8 < 15  # behind four others
    lost = take(ledger)
    clock.now_s += 0.8
    assert ledger.under_way() == (1, 10)
    clock.now_s += 0.8 * 2
    assert ledger.under_way() == (0, 0)
    before_s = ledger.expiry_s(work_bytes)
    ledger.give_back(lost)  # it was only late
    assert ledger.expiry_s(work_bytes) > before_s


def test_requests_that_have_waited_for_a_network_teach_nothing(ledger: Ledger, clock: Clock) -> None:
    """Else requests with a timeout would be refused from then on, as nothing would teach that others are faster."""
    waited = take(ledger)
    clock.now_s += 5
    ledger.network_loaded()
    ledger.give_back(waited)
    assert ledger.under_way() == (0, 0) and ledger.usual_s(10) == 0
    clock.now_s += 1
    ticket = take(ledger)
    clock.now_s += 0.1
    ledger.give_back(ticket)
    assert ledger.usual_s(10) == pytest.approx(0.1)


def test_expiry_has_bounds(ledger: Ledger, clock: Clock) -> None:
    for passes_s, bound_s in ((1e-6, admission.MIN_EXPIRY_S), (1e6, admission.MAX_EXPIRY_S)):
        for _ in range(100):
            ticket = take(ledger)
            clock.now_s += passes_s
            ledger.give_back(ticket)
        assert ledger.expiry_s(10 + admission.REQUEST_BYTES) == bound_s


def take_and_stay(folder: Path, taken: multiprocessing.connection.Connection) -> None:
    with Ledger("test", folder).room(10, BUDGET, 0) as ticket:
        taken.send(ticket)
        time.sleep(600)


def take_and_die(folder: Path, meanwhile: Callable[[], None] = lambda: None) -> int:
    """The ticket of a process that is killed while it decodes."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=take_and_stay, args=(folder, there))
    process.start()
    ticket = here.recv()
    meanwhile()
    process.kill()
    process.join()
    return ticket


def test_what_a_killed_process_was_decoding_has_its_room_back_at_once(ledger: Ledger, tmp_path: Path) -> None:
    def fill() -> None:
        take(ledger), take(ledger)
        with pytest.raises(NoRoomError):
            take(ledger)

    ticket = take_and_die(tmp_path, fill)
    take(ledger)
    assert ledger.under_way() == (3, 30)
    ledger.give_back(ticket)  # nobody's any more
    assert ledger.under_way() == (3, 30)
    with pytest.raises(NoRoomError):
        take(ledger)  # those that were handed on are not the dead one's


def test_what_is_decoded_for_long_keeps_its_room(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    slow = Ledger("test", tmp_path)
    with slow.room(1000, BUDGET, 0):
        clock.now_s += admission.FIRST_EXPIRY_S / 2
        with pytest.raises(NoRoomError):
            take(ledger)
        clock.now_s += admission.FIRST_EXPIRY_S  # it expires, and another one has its row
        others = [take(ledger) for _ in range(BUDGET.requests)]
    assert ledger.under_way() == (3, 30)
    for ticket in others:
        ledger.give_back(ticket)
    assert ledger.under_way() == (0, 0)
    slow.close()


@pytest.fixture
def networks(tmp_path: Path, clock: Clock) -> Iterator[dict[str, Ledger]]:
    """Two processes of a network and one of another."""
    del clock  # it has to be there first
    opened = {name: Ledger("test", tmp_path) for name in ("a_0", "a_1", "b_0")}
    for name, each in opened.items():
        each.join(name[0])
    yield opened
    for each in opened.values():
        each.close()


def test_tickets_are_lost_where_no_network_has_work(ledger: Ledger, networks: dict[str, Ledger], clock: Clock) -> None:
    """Clients that cancel: Triton drops their requests between the steps, and tells nobody."""
    del networks
    for _ in range(5):
        for _ in range(BUDGET.requests):
            take(ledger)
        with pytest.raises(NoRoomError):
            take(ledger)  # they may be on their way
        clock.now_s += 2 * admission.FREE_S
    assert take(ledger) and ledger.under_way() == (1, 10)


def test_what_a_network_computes_keeps_its_room(ledger: Ledger, networks: dict[str, Ledger], clock: Clock) -> None:
    for _ in range(BUDGET.requests):
        take(ledger)
    with networks["a_0"].working(1):
        clock.now_s += 2 * admission.FREE_S
        assert [take(ledger), take(ledger)] and ledger.under_way() == (3, 30)  # two were lost
        with networks["b_0"].working(1):
            clock.now_s += 2 * admission.FREE_S
            with pytest.raises(NoRoomError):
                take(ledger)  # it has no other process: more may wait for it
        with pytest.raises(NoRoomError):
            take(ledger)  # it has just become free
        clock.now_s += 2 * admission.FREE_S
        assert take(ledger) and ledger.under_way() == (2, 20)


def test_a_network_whose_process_has_died_holds_nothing(
    ledger: Ledger, networks: dict[str, Ledger], tmp_path: Path, clock: Clock
) -> None:
    for _ in range(BUDGET.requests):
        take(ledger)
    working = networks["b_0"].working(1)
    working.__enter__()
    clock.now_s += 2 * admission.FREE_S
    with pytest.raises(NoRoomError):
        take(ledger)
    networks.pop("b_0").close()
    assert take(ledger) and ledger.under_way() == (1, 10)
    new = Ledger("test", tmp_path)
    new.join("b")  # in its place
    assert np.count_nonzero(ledger._workers["network"]) == 3
    new.close()


def test_networks_that_do_not_tell_lose_nothing(ledger: Ledger, clock: Clock) -> None:
    for _ in range(BUDGET.requests):
        take(ledger)
    clock.now_s += admission.FIRST_EXPIRY_S / 2
    with pytest.raises(NoRoomError):
        take(ledger)


def test_a_killed_process_keeps_neither_the_lock_nor_the_file(tmp_path: Path) -> None:
    ticket = take_and_die(tmp_path)
    (left,) = tmp_path.iterdir()
    ledger = Ledger("other", tmp_path)
    assert ticket and not left.exists()
    ledger.close()
    assert not list(tmp_path.iterdir())


def test_a_stopped_holder_of_the_lock_stops_nobody(ledger: Ledger) -> None:
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX, 1); print(1, flush=True)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{code}; time.sleep(600)", ledger.path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        holder.send_signal(signal.SIGSTOP)
        ticket = take(ledger)
        assert ledger.under_way() == (1, 10)
        ledger.give_back(ticket)
        assert ledger.under_way() == (0, 0)
    finally:
        holder.kill()
        holder.communicate()


def test_files_of_others_are_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "somebody.txt").write_text("x")
    (tmp_path / f"{admission.PREFIX}link").symlink_to(tmp_path / "somebody.txt")
    Ledger("other", tmp_path).close()
    assert ledger.path.exists() and (tmp_path / "somebody.txt").exists()


def test_the_name_is_that_of_one_server_process() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        names = [server_name(child.pid), server_name(os.getpid()), server_name()]
        assert len(set(names)) == 3 and server_name() == names[2]
    finally:
        child.kill()
        child.wait()
