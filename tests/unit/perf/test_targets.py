"""Figures against targets and budgets."""

from __future__ import annotations

from typing import Any

import pytest

from perf.check_tables import matrices
from perf.targets import Check, best, budgets, evaluate, ratios


def peers(served: float, latency_ms: float = 30.0, alone_ms: float = 0.0) -> dict[str, Any]:
    """Three rounds in which the machine slows down and everything else with it."""
    speeds = {
        "in process: 2 x 1 thread": 50.0,
        "in process: 1 x 2 threads": 30.0,
        "served": served,
        "client side": 45.0,
        "high stability": 20.0,
        "high stability (normal)": 10.0,
        "PaddleX: as it comes": 5.0,
        "PaddleX: 2 threads": 8.0,
    }
    slow = (1.0, 0.5, 0.8)
    rates = {name: [speed * factor for factor in slow] for name, speed in speeds.items()}
    lone_ms = {"in process: 1 x 2 threads": 28.0, "served": latency_ms, "PaddleX: as it comes": 90.0}
    if alone_ms:
        lone_ms["Triton alone"] = alone_ms
    times = {name: [ms / factor for factor in slow] for name, ms in lone_ms.items()}
    variant = {"images_per_s": rates, "latency_ms": times}
    return {"peers": {"BlazeFace": {"normal": variant, "hpi": variant}}}


@pytest.mark.parametrize(
    ("figures", "name", "expected"),
    [
        ({}, "served", None),
        ({"served": [1.0]}, "served", "served"),
        ({"served": [1.0]}, "PaddleX", None),
        ({"x: a": [1.0, 9.0, 2.0], "x: b": [3.0, 3.0, 3.0]}, "x", "x: b"),
        ({"high stability": [1.0], "high stability (normal)": [2.0]}, "high stability", "high stability"),
    ],
)
def test_best_throughput(figures: dict[str, list[float]], name: str, expected: str | None) -> None:
    assert best(figures, name) == expected


def test_best_latency() -> None:
    figures = {"x: a": [1.0, 9.0, 2.0], "x: b": [3.0, 3.0, 3.0]}
    assert best(figures, "x", least=True) == "x: a"
    assert ratios({**figures, "y": [2.0, 9.0, 4.0]}, "y", "x", least=True) == [2.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, []),
        ({"a": [1.0]}, []),
        ({"b": [1.0]}, []),
        ({"a": [2.0, 9.0], "b": [4.0, 3.0]}, [0.5, 3.0]),
    ],
)
def test_ratios(figures: dict[str, list[float]], expected: list[float]) -> None:
    assert ratios(figures, "a", "b") == expected


@pytest.mark.parametrize(
    ("figure", "at_most", "met"),
    [(None, False, None), (1.0, False, True), (0.99, False, False), (1.0, True, True), (1.01, True, False)],
)
def test_met(figure: float | None, at_most: bool, met: bool | None) -> None:
    assert Check("", "", figure, 1.0, at_most).met is met


def test_nothing_measured_means_nothing_met() -> None:
    checks = evaluate({})
    assert len(checks) > 5
    assert {check.met for check in checks} == {None}
    assert budgets({}) == []


def test_peers_are_compared_round_by_round() -> None:
    checks = {(check.subject, check.name): check for check in evaluate(peers(served=48.0))}
    normal, hpi = "BlazeFace, normal", "BlazeFace, hpi"
    for subject, name, figure, limit in [
        (normal, "throughput: served / in process", 0.96, 0.92),
        (normal, "throughput: served / PaddleX's predict", 6.0, 1.5),
        (hpi, "throughput: served / PaddleX's predict", 6.0, 3.0),
        (normal, "throughput: served / high-stability service", 2.4, 1.3),
        (hpi, "throughput: served / high-stability service", 4.8, 3.0),
        (normal, "throughput: served / client-side steps", 48 / 45, 1.0),
        (normal, "p50: served - in process", 2.5, 2.5),
        (normal, "p50: served / in process", 30 / 28, 1.08),
    ]:
        check = checks[subject, name]
        assert (check.figure, check.limit) == (pytest.approx(figure), limit)
        assert check.met
    assert checks[normal, "throughput: served / in process"].spread == pytest.approx((0.96, 0.96))
    assert checks[normal, "throughput: served / in process"].bound is None
    assert checks[hpi, "throughput: served / high-stability service"].bound == pytest.approx(5.0)


@pytest.mark.parametrize(("alone_ms", "beyond_reach"), [(0.0, False), (1.4, False), (4.2, True)])
def test_what_bounds_the_time_of_one_request(alone_ms: float, beyond_reach: bool) -> None:
    checks = evaluate(peers(48.0, 35.0, alone_ms))[:2]
    assert [check.met for check in checks] == [False, False]
    assert [check.beyond_reach for check in checks] == [beyond_reach] * 2
    bounds = [check.bound for check in checks]
    assert bounds == (pytest.approx([1 + alone_ms / 28, alone_ms / 0.8]) if alone_ms else [None, None])
    assert ("(bound 5.25)" in "".join(matrices([checks]))) is beyond_reach


@pytest.mark.parametrize(
    ("served", "latency_ms", "broken"), [(48.0, 30.0, set()), (38.0, 30.0, {"throughput"}), (48.0, 40.0, {"p50"})]
)
def test_budgets(served: float, latency_ms: float, broken: set[str]) -> None:
    checks = budgets(peers(served, latency_ms))
    assert len(checks) == 4
    assert {check.name.split(":")[0] for check in checks if not check.met} == broken


def test_open_load_and_concurrency_64() -> None:
    rows = [{"share": 0.5, "p50_ms": 1, "p99_ms": 9}, {"share": 0.7, "p50_ms": 10, "p99_ms": 24, "ideal_tail": 3.4}]
    figures = {"constant": rows, "poisson": [], "at_64": [0.9, 1.1, 0.97]}
    checks = evaluate({"sweep": {"BlazeFace": {"normal": figures, "hpi": {}}}})
    found = {(check.subject, check.name): check.figure for check in checks}
    assert [check.bound for check in checks[:3]] == [3.4, None, None]
    assert found["BlazeFace, normal", "p99 / p50 at 70 % of saturation, evenly spaced"] == 2.4
    assert found["BlazeFace, normal", "p99 / p50 at 70 % of saturation, Poisson"] is None
    assert found["BlazeFace, normal", "throughput: concurrency 64 / best concurrency"] == 0.97
    assert found["BlazeFace, hpi", "throughput: concurrency 64 / best concurrency"] is None


def test_functions_growth_memory_and_gpu() -> None:
    results = {
        "functions": {
            "preprocess": 1.9,
            "nms": {"dense": {"1000": 1.0, "5000": 9.0}, "spread": {"1000": 1.6, "5000": 7.0}},
            "batch": {"1": 2.0, "32": 96.0},
        },
        "growth": {"steepening": {"faces": 1.2}},
        "soak": {"growth": 1.01, "legs": [{"requests": 1000}, {"requests": 20000}]},
        "gpu": {"fraction": {"normal": 0.7}},
    }
    met = {check.name: check.met for check in evaluate(results)}
    assert met == {
        "preprocess without decoding": True,
        "NMS of 1000 candidates, dense": True,
        "NMS of 1000 candidates, spread": False,
        "NMS of 5000 candidates, dense": False,
        "NMS of 5000 candidates, spread": True,
        "cost per image: 32 images / 1 image": False,
        "with faces: slope over all / slope over the lower half": True,
        "memory after 20,000 requests / at their beginning": True,
        "served / bare engine": True,
    }
