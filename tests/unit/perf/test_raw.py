"""Raw figures: saved, gathered, taken up again; and the verdict on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perf.bench import parse, run, verdict
from perf.machine import commit
from perf.markdown import cell, table
from perf.raw import gather, is_current, load, save
from perf.settings import Settings
from perf.summary import write

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
    assert is_current(content, replace(SETTINGS, detectors=("another",)))
    assert not is_current({}, SETTINGS)
    assert gather(tmp_path)["growth"] == {"a": 1.0}


def test_what_was_measured_of_several_detectors_is_put_together(tmp_path: Path) -> None:
    stamp = {"commit": commit(), "date": "today", "quick": True, "seconds": 1.0}
    for name in ("PicoDet_LCNet_x2_5_face", "BlazeFace"):
        common = {"stamp": stamp, "settings": SETTINGS.as_dict()}
        save(tmp_path, f"sweep-{name}", {**common, "figures": {name: {}}})
        save(tmp_path, f"steps-{name}", {**common, "figures": [name]})
    save(tmp_path, "sweep-BlazeFace-FPN-SSH", {"stamp": stamp, "settings": {}, "failed": "no server"})
    results = gather(tmp_path)
    assert list(results["sweep"]) == results["steps"] == ["BlazeFace", "PicoDet_LCNet_x2_5_face"]
    assert results["failed"] == {"sweep BlazeFace-FPN-SSH": "no server"}
    assert "steps PicoDet_LCNet_x2_5_face" in results["stamps"]


def test_a_failed_section_is_named_and_measured_again(tmp_path: Path) -> None:
    stamp = {"commit": commit(), "date": "today", "quick": True, "seconds": 1.0}
    save(tmp_path, "locust", {"stamp": stamp, "settings": SETTINGS.as_dict(), "failed": "no locust"})
    assert not is_current(load(tmp_path, "locust"), SETTINGS)
    results = gather(tmp_path)
    assert verdict(results) == (2, ["error: locust was not measured: no locust"])
    assert "locust was not measured: no locust" in write(results, tmp_path).read_text()


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "tea"], "no section 'tea'"),
        (["--only", "soak"], "--soak N"),
        (["--detectors", "BlazeFace,tea"], "no detector 'tea'"),
        (["--cpus", "1,x"], "no list of numbers of CPUs"),
        (["--cpus", "0"], "no list of numbers of CPUs"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err


def test_the_command_line() -> None:
    options = parse(["--only", "peers,gpu", "--detectors", "PicoDet_LCNet_x2_5_face,BlazeFace", "--cpus", "4,1"])
    assert options.only == ["peers", "gpu"]
    assert options.detectors == ("BlazeFace", "PicoDet_LCNet_x2_5_face")
    assert options.cpus == (1, 4)


def test_a_section_that_fails_is_told_and_the_next_one_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, arguments = Settings.short(("no such detector",)), ["--only", "functions,gpu", "--output", str(tmp_path)]
    results = run(settings, parse(arguments))
    assert "no such detector" in results["failed"]["functions"]
    assert "skipped" in results["gpu"]
    said = capsys.readouterr().err
    assert "[1 of 2] functions" in said
    assert "[2 of 2] gpu" in said
    run(settings, parse([*arguments, "--resume"]))
    assert "[1 of 1] functions" in capsys.readouterr().err
