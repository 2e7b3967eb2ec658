"""Triton's statistics before and after."""

from __future__ import annotations

from typing import Any

import pytest

from perf.step_times import breakdown_ms, cpu_breakdown_ms, difference_ms, flatten


def statistics(inferences: int, executions: int, queue_ns: int, infer_ns: int) -> dict[str, Any]:
    """As the gRPC client gives them: numbers as text, zeros left out."""
    times = {"queue": {"count": str(inferences), "ns": str(queue_ns)}, "compute_infer": {"ns": str(infer_ns)}}
    return {
        "model_stats": [
            {
                "name": "net",
                "version": "1",
                "inference_count": str(inferences),
                "execution_count": str(executions),
                "inference_stats": {**times, "compute_input": {}},
            },
            {"name": "idle", "version": "1", "inference_stats": {}},
        ]
    }


def test_nothing() -> None:
    assert flatten({}) == {}
    assert difference_ms({}, {}) == {}


def test_models_that_did_nothing_are_left_out() -> None:
    counts = flatten(statistics(10, 5, 100, 1000))
    assert set(counts) == {"net", "idle"}
    assert difference_ms(counts, counts) == {}


@pytest.mark.parametrize("before", [{}, flatten(statistics(10, 5, 1_000_000, 20_000_000))])
def test_means_per_request(before: dict[str, dict[str, int]]) -> None:
    start = before.get("net", {"inferences": 0, "executions": 0, "queue": 0, "compute_infer": 0})
    after = flatten(
        statistics(
            start["inferences"] + 4,
            start["executions"] + 2,
            start["queue"] + 2_000_000,
            start["compute_infer"] + 8_000_000,
        )
    )
    expected = {"queue": 0.5, "compute_input": 0.0, "compute_infer": 2.0, "compute_output": 0.0, "per_execution": 2.0}
    assert difference_ms(before, after) == {"net": pytest.approx(expected)}


def test_where_a_request_spends_its_time() -> None:
    step = {"queue": 1.0, "compute_input": 0.2, "compute_infer": 10.0, "compute_output": 0.3, "per_execution": 1.0}
    entry = {"model": "face", "steps": {"face": step, "a": step, "b": step}, "resources": {"images_per_s": 40.0}}
    assert breakdown_ms(entry) == pytest.approx({"computing": 20.0, "copies": 1.0, "waiting": 2.0, "rest": 2.0})


@pytest.mark.parametrize(
    ("by_model", "expected"),
    [
        ({}, [0.0, 0.0, 0.0, 0.0, 50.0]),
        (
            {"face_detector": 30.0, "face_preprocess": 8.0, "face_postprocess": 1.0, "tritonserver": 2.0},
            [8, 30, 1, 2, 9],
        ),
        ({"face_hpi_detector": 20.0, "other_detector": 1.0}, [0, 21, 0, 0, 29]),
    ],
)
def test_what_the_cores_do_when_saturated(by_model: dict[str, float], expected: list[float]) -> None:
    entry = {"cores": 2, "resources": {"images_per_s": 40.0, "cpu_ms_by_model": by_model}}
    parts = cpu_breakdown_ms(entry)
    assert list(parts.values()) == pytest.approx(expected)
    assert sum(parts.values()) == pytest.approx(50.0)
