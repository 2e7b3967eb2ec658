"""The benchmark from end to end against a real server, with settings too small to mean anything."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perf import bench, perf_analyzer, summary
from perf.machine import cores
from perf.settings import Settings

TINY = replace(
    Settings.short(),
    variants=("hpi",),
    rounds=1,
    slot_s=0.2,
    window_s=0.4,
    least_requests=2,
    settle_requests=8,
    latency_window_s=0.5,
    concurrencies=(2,),
    few_concurrencies=(2,),
    many=4,
    megapixels=(0.1, 0.3, 1.0),
    faces=(0, 4, 16),
    batches=(1, 2, 3),
    growth_slot_s=0.05,
    locust_s=4,
    locust_users=2,
    step_s=0.2,
)


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Path]:
    """The binary; a machine that cannot have it skips what needs it, and says why."""
    try:
        yield perf_analyzer.set_up()
    except perf_analyzer.PerfAnalyzerError as error:
        pytest.skip(str(error))


def measure(sections: str, output: Path, repository: Path, *arguments: str) -> dict[str, Any]:
    """Run these sections and write the report."""
    paths = ["--output", str(output), "--model-repository", str(repository)]
    options = bench.parse(["--no-paddlex", "--only", sections, *paths, *arguments])
    results = bench.run(TINY, options)
    assert results["failed"] == {}
    summary.write(results, output)
    return results


def test_steps_growth_and_a_long_run(tmp_path: Path, one_detector: Path) -> None:
    results = measure("steps,growth,soak", tmp_path, one_detector, "--soak", "40")
    alone = results["steps"][0]
    assert alone["model"] == "BlazeFace"
    own = {"BlazeFace", "BlazeFace_detector", "BlazeFace_postprocess"}
    assert {*alone["steps"]} == {"640x640_cubic_preprocess", *own}
    cpu_ms = alone["resources"]["cpu_ms_by_model"]
    assert cpu_ms["BlazeFace_detector"] > 1
    assert cpu_ms["tritonserver"] >= 0  # the kernel counts hundredths of a second, and may have seen none of so few
    assert alone["resources"]["cpu_ms_per_image"] == pytest.approx(sum(cpu_ms.values()))
    assert [point["faces"] for point in results["growth"]["faces"]] == [0, 4, 16]
    assert all(point["served_ms"] > point["decode_ms"] for point in results["growth"]["image_sizes"])
    assert len(results["soak"]["legs"]) == 20
    assert json.loads((tmp_path / "soak.part.json").read_text())["legs"] == results["soak"]["legs"]
    report = (tmp_path / "report.md").read_text()
    assert "| BlazeFace | - |" in report
    for plot in ("image_size", "faces", "batch", "soak"):
        assert f"({plot}.png)" in report
        assert (tmp_path / f"{plot}.png").stat().st_size > 5000


@pytest.mark.usefixtures("analyzer")
def test_peers_and_perf_analyzer(tmp_path: Path, one_detector: Path) -> None:
    results = measure("peers,sweep", tmp_path, one_detector)
    figures = results["peers"]["BlazeFace"]["hpi"]
    assert figures["left_out"] == {"PaddleX": "not wanted"}
    for kind in ("images_per_s", "latency_ms"):
        assert {"served", "client side", "high stability", "high stability (normal)"} < set(figures[kind])
        assert all(values[0] > 0 for values in figures[kind].values())
    assert figures["latency_ms"]["Triton alone"][0] < figures["latency_ms"]["served"][0]
    assert results["sweep"]["BlazeFace"]["hpi"]["constant"][0]["p99_ms"] > 1
    report = (tmp_path / "report.md").read_text()
    assert all(f"({plot}.png)" in report for plot in ("concurrency", "peers_p50", "peers_throughput"))


@pytest.mark.skipif(cores() < 2, reason="there are no fewer CPUs to be confined to")
@pytest.mark.usefixtures("analyzer")
def test_fewer_cpus(tmp_path: Path, one_detector: Path) -> None:
    before = os.sched_getaffinity(0)
    results = measure("cpus", tmp_path, one_detector)
    assert os.sched_getaffinity(0) == before
    assert results["cpus"]["BlazeFace"]["1"]["hpi"]["images_per_s"].keys() == {"in process: 1 x 1 thread", "served"}
    assert "| BlazeFace | hpi | 1 |" in (tmp_path / "report.md").read_text()


@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")
def test_locust(tmp_path: Path, one_detector: Path) -> None:
    results = measure("locust", tmp_path, one_detector)
    total = results["locust"]["rows"][-1]
    assert total["requests"] > 0
    assert results["locust"]["errors"] == []
