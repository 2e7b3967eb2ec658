"""What locust wrote in a real run, and answers in Triton's HTTP format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perf.locust_run import faces_in, read_history, read_table

DATA = Path(__file__).with_name("data")


def test_nothing() -> None:
    assert read_table("") == []
    assert read_history("") == []


def test_a_real_table() -> None:
    rows = read_table((DATA / "locust_stats.csv").read_text())
    assert [row["name"] for row in rows] == ["0.3 megapixels", "1.5 megapixels", "6 megapixels", "Aggregated"]
    assert sum(row["requests"] for row in rows[:-1]) == rows[-1]["requests"] == 26
    assert rows[-1] | {"name": ""} == {
        "name": "",
        "requests": 26,
        "failures": 0,
        "p50_ms": 73,
        "p95_ms": 180,
        "p99_ms": 200,
        "requests_per_s": 5.198557796036847,
    }


def test_a_real_ramp() -> None:
    rows = read_history((DATA / "locust_stats_history.csv").read_text())
    assert [row["second"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["users"] for row in rows] == [0, 1, 2, 3, 3, 3]
    assert rows[0]["p50_ms"] == 0  # N/A
    assert rows[-1]["p50_ms"] == 70


@pytest.mark.parametrize("count", [0, 29])
def test_faces_of_a_binary_answer(count: int) -> None:
    scores, number = np.zeros(count, np.float32).tobytes(), np.array([count], np.int32).tobytes()
    outputs = [
        {"name": "detection_scores", "parameters": {"binary_data_size": len(scores)}},
        {"name": "num_detections", "parameters": {"binary_data_size": 4}},
    ]
    head = json.dumps({"outputs": outputs}).encode()
    assert faces_in(head + scores + number, len(head)) == count


@pytest.mark.parametrize("count", [0, 3])
def test_faces_of_an_answer_in_json(count: int) -> None:
    text = json.dumps({"outputs": [{"name": "num_detections", "data": [count]}]}).encode()
    assert faces_in(text, len(text)) == count


def test_an_answer_of_another_model() -> None:
    text = json.dumps({"outputs": []}).encode()
    with pytest.raises(ValueError, match="num_detections"):
        faces_in(text, len(text))
