"""Videos through a server: the SDK's `predict_video`, sync and async."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.films import picture, write_film
from tritonface import (
    Connection,
    FaceDetector,
    InvalidArgumentError,
    ServerUnavailableError,
    VideoFrame,
    create_async_model,
    create_model,
)
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

COUNT = 6


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", COUNT)


@pytest.fixture
def detector(server: TritonServer) -> Iterator[FaceDetector]:
    with create_model("BlazeFace", url=server.endpoints.grpc, threshold=0.95) as model:
        yield model


def endless(taken: list[int]) -> Iterator[tuple[float, np.ndarray]]:
    image = np.ascontiguousarray(picture(0)[:, :, ::-1])
    for index in itertools.count():
        taken.append(index)
        yield index / 25, image


def test_every_picture_in_order(detector: FaceDetector, film: Path) -> None:
    frames = list(detector.predict_video(film, batch_size=3))
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(COUNT)])
    for frame in frames:
        assert isinstance(frame, VideoFrame) and len(frame.result) == 1
        assert frame.result["input_path"] == str(film) and frame.result.size_wh == (320, 240)
        [alone] = detector.predict(frame.image)
        assert frame.json == {
            "input_path": str(film),
            "frame": frame.index,
            "time_s": frame.time_s,
            "boxes": alone["boxes"],
        }
        changed = np.argwhere((frame.drawn() != frame.image).any(axis=2))
        x_min, _, _, y_max = frame.result["boxes"][0]["coordinate"]
        assert abs(changed[:, 0].max() - y_max) < 2 and abs(changed[:, 1].min() - x_min) < 2
    left = [frame.result["boxes"][0]["coordinate"][0] for frame in frames]
    assert sorted(left, reverse=True) == left  # the portrait moves to the left


def test_frames_saved_get_names_of_their_own(detector: FaceDetector, film: Path, tmp_path: Path) -> None:
    for frame in itertools.islice(detector.predict_video(film, threshold=0.5), 2):
        frame.result.save_all(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"film_00000{index}_res.{suffix}" for index in (0, 1) for suffix in ("json", "png")
    ]


def test_no_more_is_read_than_is_under_way(detector: FaceDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr("tritonface._video.read_pictures", lambda source: endless(taken))
    frames = detector.predict_video(0, batch_size=3)
    assert taken == []
    for index in range(4):
        assert next(frames).index == index
        assert len(taken) == index + 3
    frames.close()
    assert len(taken) == 6


def test_the_asyncio_twin(server: TritonServer, film: Path) -> None:
    async def run() -> list[tuple[int, int]]:
        async with create_async_model("BlazeFace", url=server.endpoints.grpc, threshold=0.95) as model:
            with pytest.raises(InvalidArgumentError, match="path of a file"):
                model.predict_video("")
            return [(frame.index, len(frame.result)) async for frame in model.predict_video(film, 2)]

    assert asyncio.run(run()) == [(index, 1) for index in range(COUNT)]


def test_parameters_are_checked_at_once(detector: FaceDetector) -> None:
    for arguments in ({"source": ""}, {"source": "x.mp4", "batch_size": 0}, {"source": "x.mp4", "threshold": 2}):
        with pytest.raises(InvalidArgumentError):
            detector.predict_video(**arguments)


@pytest.mark.long  # it starts a server
def test_the_server_goes_away(one_detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr("tritonface._video.read_pictures", lambda source: endless(taken))
    with TritonServer(one_detector, Endpoints.free(), log=tmp_path / "log", cpus=1) as server:
        model = create_model("BlazeFace", connection=Connection(server.endpoints.grpc, retries=0))
        frames = model.predict_video(0)
        assert next(frames).index == 0
    with model, pytest.raises(ServerUnavailableError):
        for _ in frames:
            pass
    assert len(taken) < 10
