"""Three servers, of which one is killed and started again and one stopped: no image is lost, none doubled."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest

from tests.functional.L0_sdk_fleet.three_servers import (
    ALL,
    WIDTHS_PX,
    Run,
    Servers,
    changes,
    run,
    three_servers,
    write_photos,
)
from training.paths import ROOT
from tritonface import FaceDetector, create_model

FEW, MANY = len(WIDTHS_PX), 2000
REPORT = ROOT / "output" / "fleet.jsonl"
SIDE_PX = 320


@pytest.fixture
def servers(one_detector: Path, tmp_path: Path) -> Iterator[Servers]:
    with three_servers(one_detector, tmp_path) as three:
        yield three


def check(done: Run, photos: Sequence[Path]) -> None:
    """Each photo has one result, in its turn, which is its own: the face is where it is in a photo of this size."""
    assert [result["input_path"] for result in done.results] == [str(path) for path in photos]
    found = 0
    for i, result in enumerate(done.results):
        width, height = WIDTHS_PX[i % FEW], 96 + i // FEW
        assert all(box["coordinate"][2] <= width and box["coordinate"][3] <= height for box in result["boxes"])
        found += bool(result["boxes"])
    assert found > 0.9 * len(photos)


def wait_until_it_serves(model: FaceDetector, servers: Servers, name: str, photos: Sequence[Path]) -> None:
    """That a server which has come back is noticed, within seconds."""
    before, deadline_s = servers.served(name), time.monotonic() + 60
    while servers.served(name) == before:
        assert time.monotonic() < deadline_s, f"nothing is sent to {name}"
        list(model.predict(photos[:12], batch_size=12))


def test_no_image_is_lost_or_doubled(servers: Servers, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", FEW)
    with create_model("BlazeFace", img_size=SIDE_PX, connection=servers.connection("grpc")) as model:
        check(run(model, photos, changes(servers)), photos)
        for name in ALL:
            wait_until_it_serves(model, servers, name, photos)


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_throughput_is_that_of_the_living(servers: Servers, tmp_path: Path, protocol: str) -> None:
    """Images answered, by what the living servers answer while nothing changes: in the same run, so that other work on
    the machine counts on both sides. What they answer in runs of their own, before and after, is written down, too.
    """
    photos = write_photos(tmp_path / "photos", MANY)
    capacities: dict[str, list[float]] = {name: [] for name in ("A", "AB", "AC", "ABC")}

    def measure() -> None:
        for names, rates in capacities.items():
            with create_model("BlazeFace", img_size=SIDE_PX, connection=servers.connection(protocol, names)) as model:
                run(model, photos[:50])
                rates.append(run(model, photos[:400]).rate)

    with create_model("BlazeFace", img_size=SIDE_PX, connection=servers.connection(protocol)) as model:
        expected = run(model, photos)
        check(expected, photos)
        measure()
        disturbed = run(model, photos, changes(servers))
        check(disturbed, photos)
        measure()
    assert [result["boxes"] for result in disturbed.results] == [result["boxes"] for result in expected.results]
    stretches = disturbed.stretches()
    figures = {
        "protocol": protocol,
        "images": MANY,
        "of_the_living": MANY / sum(each.rate * each.seconds for each in stretches),
        "of_runs_of_their_own": MANY / sum(mean(capacities[each.living]) * each.seconds for each in stretches),
        "longest_pause_s": max(b - a for a, b in pairwise(disturbed.times_s)),
        "stretches": stretches,
        "runs_of_their_own": capacities,
        "load_average": os.getloadavg(),
    }
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("a") as report:
        report.write(json.dumps(figures) + "\n")
    assert figures["of_the_living"] >= 0.9, figures
