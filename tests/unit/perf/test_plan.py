"""What a run measures, and how it says how long it takes."""

from __future__ import annotations

import re

import pytest

from perf.plan import SECTIONS, Progress, Unit, units
from perf.settings import WATCHED, Settings
from training.detectors import DETECTORS

SLOW = "PicoDet_LCNet_x2_5_face"


def test_all_detectors_are_compared_and_some_sections_look_at_fewer() -> None:
    planned = units(SECTIONS, Settings.full())
    counts = {section: sum(unit.section == section for unit in planned) for section in SECTIONS}
    once = dict.fromkeys(("functions", "growth", "locust", "gpu", "soak"), 1)
    assert counts == {"peers": len(DETECTORS), "cpus": 2, "sweep": 2, "steps": len(DETECTORS), **once}
    assert [str(unit) for unit in planned[:2]] == [f"peers {name}" for name in list(DETECTORS)[:2]]


@pytest.mark.parametrize(
    ("names", "watched", "examined"),
    [
        ((), WATCHED, (WATCHED, "PP-YOLOE_plus-S_face")),
        ((SLOW,), SLOW, (SLOW,)),
        ((WATCHED, SLOW), WATCHED, (WATCHED,)),
    ],
)
def test_who_stands_for_all(names: tuple[str, ...], watched: str, examined: tuple[str, ...]) -> None:
    settings = Settings.full(names)
    assert settings.watched == watched
    assert settings.examined == examined
    assert {unit.detector for unit in units(["sweep"], settings)} == {*examined}


def test_files_are_named_after_units() -> None:
    assert Unit("peers", "BlazeFace").file_name == "peers-BlazeFace"
    assert Unit("growth").file_name == str(Unit("growth")) == "growth"


def test_progress_is_said_with_what_is_left() -> None:
    readings_s = iter([100.0, 100.0, 460.0])  # the first unit takes three times as long as it should
    progress = Progress([(Unit("growth"), 120.0), (Unit("locust"), 60.0)], readings_s.__next__)
    assert re.match(r"\[1 of 2\] growth; 0 minutes gone, about 3 to go, until \d\d:\d\d$", progress.next_line())
    assert re.match(r"\[2 of 2\] locust; 6 minutes gone, about 3 to go", progress.next_line())
