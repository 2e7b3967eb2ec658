"""The chaos report from end to end against a real server, too short for its figures to mean anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perf.chaos import __main__ as chaos
from perf.chaos import faults, long_run, open_loop
from perf.chaos.launched import Launched
from perf.chaos.row import Promise, Row
from perf.photos import PORTRAIT
from perf.settings import WATCHED
from tritonface_server.server import TritonServer


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_client_that_does_not_wait(server: TritonServer, protocol: str) -> None:
    url = getattr(server.endpoints, protocol)
    seen = open_loop.run(open_loop.Task(protocol, url, WATCHED, str(PORTRAIT), rate=5, seconds=1, deadline_s=30))
    assert seen["counts"] == {"ok": 5, "busy": 0, "late": 0, "lost": 0} and seen["others"] == {}
    assert 0 < seen["ok_s"][0] <= seen["ok_s"][1] and 0 < seen["fresh_s"] < 60
    missing = open_loop.Task(protocol, url, "missing", str(PORTRAIT), rate=0, seconds=0.1, fresh_timeout_s=0.1)
    assert open_loop.run(missing)["counts"]["lost"] > 0


def test_a_killed_stub_and_mixed_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "CALLERS", 2)
    monkeypatch.setattr(faults, "AFTER_S", 1.0)
    monkeypatch.setattr(long_run, "LEGS", 3)
    monkeypatch.setattr(long_run, "MEGAPIXELS", (0.05, 0.3))

    def act(server: Launched, photos: list[Path]) -> Row:
        mixed = long_run.long_run(server, 1)
        assert mixed.promises[0] == Promise("wrong", 0, 0) and len(mixed.figures["legs"]) == long_run.LEGS
        return faults.under_load(server, "a stub", faults.kill_stubs("detector"), photos, [], back_s=0.5, told_s=1)

    chaos.run([("a stub", chaos.asked(act))], tmp_path)
    (row,) = json.loads((tmp_path / "report.json").read_text())
    names = [promise["name"] for promise in row["promises"]]
    assert names == ["lost", "pause of BlazeFace", "pause of BlazeFace_hpi", "readiness tells after"]
