"""Parts of the chaos report that need no server: promises, answers that are compared, pauses, names of experiments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perf.chaos import __main__ as chaos
from perf.chaos import overload
from perf.chaos.callers import CUT, Seen, same
from perf.chaos.launched import TRITONS_LINE
from perf.chaos.row import Promise, Row


def test_an_empty_report(tmp_path: Path) -> None:
    assert chaos.run([], tmp_path / "report") == []


@pytest.mark.parametrize(
    ("value", "at_least", "kept"), [(1, False, True), (1.1, False, False), (1, True, True), (0.9, True, False)]
)
def test_a_promise_is_kept_up_to_its_bound(value: float, at_least: bool, kept: bool) -> None:
    promise = Promise("pause", value, 1, "s", at_least)
    assert promise.kept is kept
    assert str(promise).startswith("**") is not kept


@pytest.mark.parametrize("bound", [0.1, 1e9])
def test_what_never_happened_keeps_no_promise(bound: float) -> None:
    assert not Promise("p99 of a rejection", np.inf, bound).kept
    assert not Promise("p99 of a rejection", np.nan, bound).kept


def test_an_experiment_that_fails_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    def fails(folder: Path) -> Row:
        raise RuntimeError("there is no tritonserver")

    def works(folder: Path) -> Row:
        assert not list(folder.iterdir())
        return Row("a|fault", "load", [Promise("lost", 0, 0)], ["a\nnote"])

    rows = chaos.run([("one", fails), ("two", works)], tmp_path)
    assert [row.kept for row in rows] == [False, True]
    report = (tmp_path / "report.md").read_text()
    assert "there is no tritonserver" in report and "| a/fault | load | lost 0 (≤ 0) | a note |" in report
    assert json.loads((tmp_path / "report.json").read_text())[1]["promises"][0]["name"] == "lost"


def test_experiments_are_chosen_by_whole_words() -> None:
    every = chaos.experiments(1, 1)
    assert [name for name, _ in chaos.choose(list(every), "overload 2,long")] == [
        "overload 2 grpc",
        "overload 2 http",
        "long",
    ]
    assert chaos.main(["--only", "nothing"]) == 2


@pytest.mark.parametrize("goes_first", [True, False])
def test_a_client_that_waits_for_cpus_itself_says_so(goes_first: bool) -> None:
    counts = {"ok": 3, "busy": 1, "late": 0, "lost": 0}
    seen = {"counts": counts, "punctual": 1.0, "goes_first": goes_first, "others": {"NOT_FOUND": 2}}
    assert overload.notes(seen)[0] == "3 ok, 1 busy"
    assert ("waiting for the server's CPUs" in overload.notes(seen)[1]) is not goes_first
    assert overload.notes(seen)[2:] == ["2 x NOT_FOUND"]


def test_the_longest_pause() -> None:
    assert Seen().gap_s(0, 5) == 5
    assert Seen(answers_at=[-1, 1, 2, 4.5, 9]).gap_s(0, 5) == 2.5


def test_answers_are_compared_by_box_and_score() -> None:
    right = np.array([[10, 10, 50, 50, 0.9], [60, 60, 90, 90, 0.8]])
    assert same(right, right) and same(np.empty((0, 5)), np.empty((0, 5)))
    assert not same(right[:1], right) and not same(right[::-1], right)
    for change, is_same in (([0.4, 0, 0, 0, 0.009], True), ([0.6, 0, 0, 0, 0], False), ([0, 0, 0, 0, 0.02], False)):
        assert same(np.add(right, change), right) is is_same


@pytest.mark.parametrize(
    "message", ["Stream removed (Socket closed)", "Server disconnected", "Connection reset by peer"]
)
def test_a_connection_that_was_cut(message: str) -> None:
    assert CUT.search(message)
    assert not CUT.search("no Triton server answers gRPC: Connection refused")


def test_tritons_lines_are_told_from_the_launchers() -> None:
    for line in (
        'I1128 04:52:01.239043 5466 http_server.cc:362] "Started"',
        "+-----+-----+",
        "| a | b |",
        "Signal (15)",
    ):
        assert TRITONS_LINE.match(line)
    assert not TRITONS_LINE.match("ready: gRPC on 127.0.0.1:8001")
