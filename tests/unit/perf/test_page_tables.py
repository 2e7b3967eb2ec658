"""Figures of a run, put into the pages."""

from __future__ import annotations

from typing import Any

import pytest

from perf.page_plots import PERFORMANCE, by_rival, table
from perf.page_tables import README, blocks, is_quiet, replace_blocks, replace_times, times_ms
from training.detectors import DETECTORS

FIGURES = {
    "images_per_s": {"in process: 2 x 1 thread": [20.0], "served": [18.0]},
    "latency_ms": {"in process: 1 x 2 threads": [60.0], "served": [66.0]},
}


def results(quick: bool = False, load: float = 0.1) -> dict[str, Any]:
    """Of one detector."""
    return {
        "machine": {"date": "today", "processor": "AMD", "cores": "2 usable of 2", "load before the run": str(load)},
        "stamps": {"peers": {"quick": quick, "commit": "c0ffee", "date": "today"}},
        "failed": {},
        "peers": {"BlazeFace": {"normal": FIGURES, "hpi": FIGURES}},
        "cpus": {"BlazeFace": {"1": {"normal": FIGURES}}},
    }


@pytest.mark.parametrize(("quick", "load", "quiet"), [(False, 0.1, True), (True, 0.1, False), (False, 2.0, False)])
def test_times_are_those_of_a_quiet_run(quick: bool, load: float, quiet: bool) -> None:
    assert is_quiet(results(quick, load)) is quiet


def test_times_may_be_left_as_they_are() -> None:
    assert [*blocks(results(), times=False)] == ["p50", "throughput", "targets", "cpus"]
    assert [*blocks({**results(), "peers": {}, "cpus": {}}, times=True)] == []


def test_the_page_takes_all_tables(tmp_path: Any) -> None:
    page = tmp_path / "page.md"
    page.write_text(replace_blocks(PERFORMANCE.read_text(), blocks(results(), times=True)))
    assert table(page, "| detector | normal, ms |") == {"BlazeFace": ["66.0", "66.0", "1.00 x"]}
    ratios = by_rival(table(page, "<!-- figures p50 -->"))
    assert ratios["BlazeFace", "hpi", "in process"] == 0.91
    assert ratios["BlazeFace", "hpi", "client side"] is None
    assert "| BlazeFace | normal | 1 | 60.0 | 66.0 | 1.10 | 20.0 | 18.0 | 0.90 |" in page.read_text()
    assert replace_blocks(page.read_text(), blocks(results(), times=True)) == page.read_text()


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the figures 'cpus'"):
        replace_blocks("text", {"cpus": []})


def test_the_readme_takes_all_times() -> None:
    times = {name: (100.0 + i, 50.0 + i) for i, name in enumerate(DETECTORS)}
    text = replace_times(README.read_text(), times)
    assert [text.count(f" | {normal} | {fast} |") for normal, fast in times.values()] == [1] * len(DETECTORS)
    assert times_ms(results()["peers"]) == {"BlazeFace": (66.0, 66.0)}
