"""Durations come from clocks that nobody can set: the server and the SDK ask for the time of day in few places."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from training.paths import ROOT

ALLOWED = {
    ("server/tritonface_server/publish.py", "time.time_ns"): "files are dated later than those they replace",
    ("server/tritonface_server/publish.py", "datetime.now"): "the receipt says when it was published",
    ("server/tritonface_server/request_log.py", "datetime.now"): "log lines say when",
}
"""Where the time of day is asked for, and what for: never to compute how long something took, or shall take."""
CLOCKS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime", "clock_gettime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
FOLDERS = ("server", "client", "model_repository")


def clocks(source: str) -> set[str]:
    """Names of the functions that a module asks for the time of day, "time.time" for example."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {f"time.{alias.name}" for alias in node.names if alias.name in CLOCKS["time"]}
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            if node.attr in CLOCKS.get(owner, ()):
                found.add(f"{owner}.{node.attr}")
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", set()),
        ("import time\nend_s = time.monotonic() + 5; time.sleep(1); time.perf_counter()", set()),
        ("import time\nend_s = time.time() + 5", {"time.time"}),
        ("from time import time, sleep", {"time.time"}),
        ("now = time.time", {"time.time"}),
        ("import datetime\ndatetime.datetime.now()", {"datetime.now"}),
        ("from datetime import date, datetime\ndate.today(), datetime.utcnow()", {"date.today", "datetime.utcnow"}),
    ],
)
def test_the_search_finds_what_it_looks_for(source: str, found: set[str]) -> None:
    assert clocks(source) == found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_jump_of_the_clock_changes_no_duration(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if "build" not in path.relative_to(ROOT).parts]
    found = {(str(path.relative_to(ROOT)), clock) for path in files for clock in clocks(path.read_text())}
    assert files
    assert found == {place for place in ALLOWED if Path(place[0]).parts[0] == folder}
