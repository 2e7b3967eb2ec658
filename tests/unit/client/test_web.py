"""The page of `tritonface web` without Gradio and browser: `make test-web` has both."""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
import types
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.films import write_film
from tests.launched import PHOTO
from training.detectors import DETECTORS
from tritonface import Connection, DetectionResult, InvalidArgumentError
from tritonface._video import VideoFrame
from tritonface._web.answers import HEADERS, Answer, faces, headline, problem, write_files
from tritonface._web.detectors import SHIPPED, Choice
from tritonface._web.serving import POLICY, run
from tritonface._web.stages import between

BOX = {"cls_id": 0, "label": "face", "score": 0.91234, "coordinate": [1.0, 2.04, 30.0, 40.0]}
TIMES = {"encode": 1.0, "wait": 20.0, "draw": 3.0}


def answer(boxes: list[dict[str, object]], picture: Path | None = None, **more: object) -> Answer:
    facts = {"name": "a.jpg", "error": "", "warning": None, "times_ms": TIMES}
    return Answer(**{**facts, **more}, boxes=boxes, picture=picture)


def test_a_photo_without_faces() -> None:
    assert answer([]).rows == []
    assert answer([]).json == {"input_path": "a.jpg", "boxes": [], "times_ms": TIMES}
    assert "0 faces" in headline(answer([]), "BlazeFace")


def test_a_photo_with_a_face() -> None:
    assert answer([BOX]).rows == [[1, 0.912, 1.0, 2.0, 30.0, 40.0]]
    assert len(answer([BOX]).rows[0]) == len(HEADERS)
    assert answer([BOX]).caption == "a.jpg: 1 face"
    assert [faces(count) for count in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]


def test_names_and_messages_are_no_html() -> None:
    for said in (headline(answer([], warning="<b>cut</b>"), "<i>mine</i>"), problem("<script>")):
        assert "<b>cut" not in said and "<i>mine" not in said and "<script>" not in said


@pytest.mark.parametrize("count", [0, 1, 2])
def test_files_to_take_along(tmp_path: Path, count: int) -> None:
    answers = [answer([BOX], PHOTO, name=f"{number}.jpg") for number in range(count)] or [answer([], error="bad")]
    file, picture = write_files(answers, {"detector": "BlazeFace"}, tmp_path / "new")
    said = json.loads(file.read_text())
    assert said["detector"] == "BlazeFace"
    assert [len(result["boxes"]) for result in said["results"]] == ([1] * count or [0])
    if count < 2:
        assert picture == (PHOTO if count else None)
    else:
        assert zipfile.ZipFile(picture).namelist() == ["001_astronaut.jpg", "002_astronaut.jpg"]


@pytest.mark.parametrize(
    ("size", "expected"), [("", None), ("640", 640), ("640x512", [640, 512]), ("640X512", [640, 512])]
)
def test_input_sizes(size: str, expected: object) -> None:
    assert Choice("BlazeFace", False, size).img_size == expected


@pytest.mark.parametrize("size", ["big", "x", "640x", "6.4"])
def test_what_is_no_input_size(size: str) -> None:
    with pytest.raises(InvalidArgumentError, match="640x512"):
        _ = Choice("BlazeFace", False, size).img_size


def test_the_page_offers_the_detectors_that_ship() -> None:
    assert sorted(SHIPPED) == sorted(DETECTORS)


def test_browsers_load_nothing_from_elsewhere() -> None:
    sources = {source for part in POLICY.split(";") for source in part.split()[1:]}
    assert {source for source in sources if not source.startswith("'")} == {"blob:", "data:"}


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InvalidArgumentError, match="--port"):
        run(Connection(), taken.getsockname()[1])


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'tritonface\[web\]'"):
        run(Connection(), 0)


STEPS = ("640x640_preprocess", "Mine", "Mine_postprocess")


def counted(count: int, ns: int) -> dict[str, object]:
    """As over gRPC, where numbers are texts; NMS waits in no queue, so there is none."""
    times = {part: {"count": str(count), "ns": str(ns * count)} for part in ("success", "queue", "compute_infer")}
    return {STEPS[0]: times, STEPS[1]: times, STEPS[2]: {name: times[name] for name in ("success", "compute_infer")}}


def test_times_inside_the_server_before_any_request() -> None:
    assert between(STEPS, {}, {}) is None
    assert between((), counted(1, 5), counted(2, 5)) is None
    assert between(STEPS, counted(2, 5), counted(2, 5)) is None


def test_times_inside_the_server_are_averages() -> None:
    inside = between(STEPS, counted(2, 1_000_000), counted(6, 1_000_000))
    assert inside.requests == 4
    assert inside.times_ms == {"queues": 2.0, "decode, resize": 1.0, "network": 1.0, "NMS": 1.0}
    assert "average of 4 requests" in headline(answer([]), "Mine", inside)


class OnePicture:
    """A detector by which every video is one picture, without faces."""

    model_name, input_size_wh = "Mine", (640, 640)

    async def get(self, _: Choice) -> OnePicture:
        return self

    async def predict_video(self, source: str, *, threshold: float) -> AsyncIterator[VideoFrame]:
        result = DetectionResult(source, [], file_name="0.png", origin=source, encoded=PHOTO.read_bytes())
        yield VideoFrame(0, 0.0, np.zeros((48, 64, 3), np.uint8), result)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The module that needs of Gradio no more than words for changes."""
    monkeypatch.setitem(sys.modules, "gradio", types.SimpleNamespace(update=lambda **said: said))
    module = importlib.import_module("tritonface._web.work")
    yield module
    del sys.modules[module.__name__]


def test_a_windows_videos_go_when_it_asks_again(tmp_path: Path, work: types.ModuleType) -> None:
    film, results = write_film(tmp_path / "film.mp4", 2), tmp_path / "results"
    results.mkdir()
    page = work.Work(OnePicture(), results)

    async def ask(before: Any, file: str | None = str(film)) -> list[Any]:
        values = ["Mine", "normal", "Mine", "normal", True, 0.5, "", before]
        return [outputs[-1] async for outputs in page.video(file, *values)]

    mine, of_another_window = asyncio.run(ask(None)), asyncio.run(ask(None))
    assert len(set(mine)) == 1  # known from the first answer on, also to a window that stops it
    again = asyncio.run(ask(mine[-1]))
    assert set(results.iterdir()) == {of_another_window[-1], again[-1]}
    assert sorted(path.name for path in again[-1].rglob("film*")) == ["film.jsonl"] * 2 + ["film_faces.mp4"] * 2
    assert asyncio.run(ask(again[-1], None)) == [None]
    assert list(results.iterdir()) == [of_another_window[-1]]
