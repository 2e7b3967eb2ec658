"""Raw figures: saved, gathered, taken up again; and the verdict on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perf.bench import parse, section_names, verdict
from perf.machine import commit
from perf.raw import gather, is_current, load, save
from perf.settings import Settings
from perf.summary import cell, table, write

SETTINGS = Settings.short()


def test_nothing_measured(tmp_path: Path) -> None:
    assert load(tmp_path, "peers") == {}
    results = gather(tmp_path)
    assert results == {"machine": {}, "stamps": {}, "failed": {}}
    assert verdict(results) == (0, [])
    report = write(results, tmp_path).read_text()
    assert "not measured" in report
    assert ".png" not in report


def test_a_section_is_measured_again_only_if_something_changed(tmp_path: Path) -> None:
    stamp = {"commit": commit(), "date": "today", "quick": True, "seconds": 1.0}
    save(tmp_path, "growth", {"stamp": stamp, "settings": SETTINGS.as_dict(), "figures": {"a": 1.0}})
    content = load(tmp_path, "growth")
    assert is_current(content, SETTINGS)
    assert not is_current(content, replace(SETTINGS, rounds=99))
    assert not is_current(content | {"stamp": stamp | {"commit": "another"}}, SETTINGS)
    assert not is_current({}, SETTINGS)
    assert gather(tmp_path)["growth"] == {"a": 1.0}


def test_a_failed_section_is_named_and_measured_again(tmp_path: Path) -> None:
    stamp = {"commit": commit(), "date": "today", "quick": True, "seconds": 1.0}
    save(tmp_path, "locust", {"stamp": stamp, "settings": SETTINGS.as_dict(), "failed": "no locust"})
    assert not is_current(load(tmp_path, "locust"), SETTINGS)
    results = gather(tmp_path)
    assert verdict(results) == (2, ["error: locust was not measured: no locust"])
    assert "Not measured: no locust" in write(results, tmp_path).read_text()


def test_a_broken_budget_fails_the_benchmark_with_a_line() -> None:
    rates = {"in process: 2 x 1 thread": [10.0, 10.0], "served": [6.0, 7.0]}
    variant = {"images_per_s": rates, "latency_ms": {"in process": [10.0, 10.0], "served": [11.0, 11.0]}}
    code, lines = verdict({"failed": {}, "peers": {"BlazeFace": {"normal": variant, "hpi": variant}}})
    assert code == 1
    assert lines[0] == (
        "error: budget broken: BlazeFace, normal: throughput: served / in process is 0.65, less than 0.8"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), ("a", "a"), (3, "3"), (0.125, "0.12"), (12.345, "12.3"), (123.45, "123"), (12345.6, "12,346")],
)
def test_cell(value: object, text: str) -> None:
    assert cell(value) == text


def test_table() -> None:
    assert table(["a", "b"], []) == ["| a | b |", "|---|---|"]
    assert table(["a"], [[1.0]])[-1] == "| 1.00 |"


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert section_names("peers,gpu") == ["peers", "gpu"]
    for wrong in (["--only", "tea"], ["--only", "soak"]):
        with pytest.raises(SystemExit):
            parse(wrong)
    printed = capsys.readouterr().err
    assert "no section 'tea'" in printed
    assert "--soak N" in printed
