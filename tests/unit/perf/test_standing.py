"""Who is ahead, and the tables and plots that say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot

from perf import dots
from perf.peer_tables import cpus_part, peers_part
from perf.standing import RIVALS, standings
from training.detectors import DETECTORS

RATES = {"in process: 2 x 1 thread": 20.0, "served": 18.0, "client side": 18.0, "PaddleX: as it comes": 3.0}
TIMES = {"in process: 1 x 2 threads": 60.0, "served": 63.0, "client side": 60.0, "PaddleX: as it comes": 315.0}
ROUNDS = (1.0, 0.5, 0.8)


def figures(**more: Any) -> dict[str, Any]:
    """Three rounds in which the machine slows down and everybody with it."""
    rates = {name: [rate * pace for pace in ROUNDS] for name, rate in RATES.items()}
    times = {name: [ms / pace for pace in ROUNDS] for name, ms in TIMES.items()}
    return {"images_per_s": rates, "latency_ms": times, **more}


def peers() -> dict[str, Any]:
    return {
        name: {variant: figures(left_out={"PaddleX": "a reason"}) for variant in ("normal", "hpi")}
        for name in DETECTORS
    }


def test_standings() -> None:
    found = {one.rival: one for one in standings({"BlazeFace": {"normal": figures()}})}
    assert list(found) == list(RIVALS)
    assert [one.losses for one in found.values()] == [2, 1, 0, 0, 0, 0]
    bare, clients = found["in process"], found["client side"]
    assert (bare.latency, bare.throughput) == (pytest.approx(60 / 63), pytest.approx(0.9))
    assert (clients.latency, clients.throughput) == (pytest.approx(60 / 63), 1.0)
    assert (found["PaddleX"].latency, found["PaddleX"].throughput) == (pytest.approx(5.0), pytest.approx(6.0))
    assert found["high stability"].latency is None


def test_each_loss_is_marked_in_a_row_for_each_detector_and_variant() -> None:
    text = "\n".join(peers_part(peers()))
    assert "24 of 64 comparisons are lost, 8 of them not to the bare loop" in text
    assert text.count("0.95 **loss** | 0.95 **loss** | - | - | 5.00 | 5.00 |") == 8
    assert text.count("0.90 **loss** | 1.00 | - | - | 6.00 | 6.00 |") == 8
    assert "### PicoDet_LCNet_x2_5_face, hpi\n\n| 3 rounds |" in text
    assert text.count("Without PaddleX: a reason.") == 8


def test_the_machines_own_cpus_come_last() -> None:
    confined = {"BlazeFace": {"1": {"normal": figures(), "hpi": figures()}}}
    rows = cpus_part(confined, peers(), "2")[4:]
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| BlazeFace", "normal", "1"],
        ["| BlazeFace", "normal", "2"],
        ["| BlazeFace", "hpi", "1"],
        ["| BlazeFace", "hpi", "2"],
    ]
    assert rows[0].endswith("| 75.0 | 78.8 | 1.05 | 16.0 | 14.4 | 0.90 |")


def test_a_dot_for_each_ratio_on_its_side_of_one(tmp_path: Path) -> None:
    found = standings(peers())
    figure, axes = pyplot.subplots()
    dots.draw(axes, {(one.detector, one.variant, RIVALS[one.rival]): one.throughput for one in found})
    places = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() in "o>"]
    assert len(places) == 4 * len(DETECTORS) * 2
    left, right = axes.get_xlim()
    assert left < 0.9 and right > 6
    pyplot.close(figure)
