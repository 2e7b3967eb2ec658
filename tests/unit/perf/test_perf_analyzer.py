"""What perf_analyzer is given and what it wrote, in real runs of version 2.51."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from perf.perf_analyzer import PerfAnalyzerError, read_measurement, write_input

DATA = Path(__file__).with_name("data")


@pytest.mark.parametrize("table", ["", "\n", "Model,Version\nBlazeFace,1\n"])
def test_a_table_without_a_load_is_refused(table: str) -> None:
    with pytest.raises(PerfAnalyzerError, match="without a load"):
        read_measurement(table, "")


@pytest.mark.parametrize(
    ("name", "load", "later_windows", "p50_ms", "p99_ms"),
    [("concurrency", 8, (29.9381, 29.8471), 259.429, 360.878), ("poisson", 15, (15.5475, 15.5445), 68.827, 134.313)],
)
def test_real_output(name: str, load: float, later_windows: tuple[float, ...], p50_ms: float, p99_ms: float) -> None:
    found = read_measurement((DATA / f"{name}.csv").read_text(), (DATA / f"{name}.txt").read_text())
    assert found.load == load
    assert found.images_per_s == pytest.approx(sum(later_windows) / len(later_windows))
    assert (found.p50_ms, found.p99_ms) == (p50_ms, p99_ms)
    assert found.p50_ms < found.p90_ms < found.p99_ms


def test_without_windows_the_tables_own_throughput_counts() -> None:
    assert read_measurement((DATA / "concurrency.csv").read_text(), "").images_per_s == 29.5558


@pytest.mark.parametrize("contents", [[], [b""], [b"one", b"\xff\xd8three"]])
def test_input_data_begins_with_the_length(contents: list[bytes], tmp_path: Path) -> None:
    rows = json.loads(write_input("image", contents, tmp_path / "in.json").read_text())["data"]
    decoded = [base64.b64decode(row["image"]["content"]["b64"]) for row in rows]
    assert [int.from_bytes(data[:4], "little") for data in decoded] == [len(content) for content in contents]
    assert [data[4:] for data in decoded] == contents
    assert all(row["image"]["shape"] == [1] for row in rows)
