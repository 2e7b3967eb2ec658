"""Videos read and written, without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.films import picture, pictures_of, sound_of, turn, write_film
from tritonface import ImageError, InvalidArgumentError
from tritonface._video import checked_video
from tritonface._video_file import facts_of, read_pictures
from tritonface.video import VideoWriter


def tags_of(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return dict(container.metadata)


def alike(bgr: np.ndarray, rgb: np.ndarray) -> bool:
    return bgr.shape == rgb.shape and float(np.abs(bgr[:, :, ::-1].astype(int) - rgb).mean()) < 6


@pytest.mark.parametrize(("content", "message"), [(b"", "the file is empty"), (b"text" * 99, "Invalid data")])
def test_files_that_are_no_video(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    for read in (facts_of, lambda path: next(read_pictures(path))):
        with pytest.raises(ImageError, match=message) as raised:
            read(path)
        assert raised.value.input_path == str(path)


def test_what_is_not_there() -> None:
    with pytest.raises(ImageError, match=r"cannot read the video 'gone\.mp4': No such file"):
        facts_of("gone.mp4")
    with pytest.raises(ImageError, match=r"there is no camera 9; cameras of this machine: "):
        next(read_pictures(9))
    with pytest.raises(ImageError, match="No such file"):  # no address is opened
        next(read_pictures("http://127.0.0.1:9/film.mp4"))


@pytest.mark.parametrize("source", ["", -1, None, 1.5, True, b"x.mp4", ["x.mp4"]])
def test_sources_of_no_use(source: object) -> None:
    with pytest.raises(InvalidArgumentError, match="path of a file or the number of a camera"):
        checked_video(source)  # type: ignore[arg-type]


def test_pictures_with_their_times(tmp_path: Path) -> None:
    times_s = [0, 0.04, 0.5, 0.52, 2]
    film = write_film(tmp_path / "film.mkv", 5, times_s=times_s)
    found = list(read_pictures(film))
    assert [time_s for time_s, _ in found] == pytest.approx(times_s, abs=1e-3)
    assert all(alike(image, picture(index)) for index, (_, image) in enumerate(found))
    assert facts_of(write_film(tmp_path / "film.mp4", 5)).frames == 5


def test_a_film_that_is_to_be_turned(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 2)
    turn(film)
    (_, first), _ = read_pictures(film)
    assert alike(first, np.rot90(picture(0), -1))


def test_only_sound(tmp_path: Path) -> None:
    film, sound = write_film(tmp_path / "film.mp4", 3, sound="aac"), tmp_path / "sound.mp4"
    with av.open(str(film)) as source, av.open(str(sound), "w") as target:
        copy = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    with pytest.raises(ImageError, match="no moving pictures, only sound"):
        facts_of(sound)


def test_a_damaged_film_goes_on_behind_the_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    film = write_film(tmp_path / "film.mkv", 24)
    data = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    position, size = places[9]
    data[position + 8 : position + size] = os.urandom(size - 8)
    film.write_bytes(data)
    found = list(read_pictures(film))
    assert len(found) >= 20 and alike(found[-1][1], picture(23)) and alike(found[0][1], picture(0))
    film.write_bytes(data[: len(data) // 2])
    assert 0 < len(list(read_pictures(film))) < 24


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / "film.mp4", 1)
    monkeypatch.setattr("tritonface._images.MAX_PIXELS", 320 * 240 - 1)
    with pytest.raises(ImageError, match="the image has 320x240 pixels, the limit is"):
        facts_of(film)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
def test_written_and_read_again(tmp_path: Path, suffix: str) -> None:
    path, times_s = tmp_path / f"out{suffix}", [0, 0.1, 0.15, 1.0]
    with VideoWriter(path) as writer:
        for index, time_s in enumerate(times_s):
            writer.write(picture(index)[:, :, ::-1], time_s)
    found = pictures_of(path)
    assert [time_s for time_s, _ in found] == pytest.approx(times_s, abs=2e-3)
    assert all(alike(picture(index)[:, :, ::-1], rgb) for index, (_, rgb) in enumerate(found))


def test_odd_sides_and_pictures_of_another_size(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(picture(0)[:201, :101, ::-1], 0.0)
        writer.write(picture(0)[:, :, ::-1], 0.04)
        writer.write(picture(0)[:201, :101, ::-1], 0.04)  # at the same time: a moment later
    found = pictures_of(tmp_path / "out.mp4")
    assert [rgb.shape for _, rgb in found] == [(202, 102, 3)] * 3
    assert alike(picture(0)[:201, :101, ::-1], found[0][1][:201, :101])


@pytest.mark.parametrize(("name", "sound"), [("film.mp4", "aac"), ("film.mkv", "pcm_s16le")])
def test_the_sound_comes_along(tmp_path: Path, name: str, sound: str) -> None:
    film = write_film(tmp_path / name, 8, sound=sound, metadata={"location": "+48.8577+002.295/", "title": "secret"})
    out = tmp_path / f"out{film.suffix}"
    with VideoWriter(out, sound_of=film) as writer:
        for time_s, image in read_pictures(film):
            writer.write(image, time_s)
    assert sound_of(out) == sound_of(film) != []
    tags = [{name.lower(): value for name, value in tags_of(path).items()} for path in (film, out)]
    assert {"title", "location"} <= tags[0].keys() and not {"title", "location"} & tags[1].keys()
    assert b"secret" in film.read_bytes() and b"secret" not in out.read_bytes()


def test_no_picture_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_film_can_be_played(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 60, sound="aac")
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", sound_of=film) as writer:
        for index, (time_s, image) in enumerate(read_pictures(film)):
            if index == 7:
                raise KeyboardInterrupt
            writer.write(image, time_s)
    assert len(pictures_of(tmp_path / "out.mp4")) == 7
    assert 0 < len(sound_of(tmp_path / "out.mp4")) < len(sound_of(film))


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"videos are written as \.m4v, \.mkv, \.mov, \.mp4, \.webm, not \.avi"
    ):
        VideoWriter(tmp_path / "out.avi")
    with pytest.raises(OSError, match="No such file"), VideoWriter(tmp_path / "gone" / "out.mp4") as writer:
        writer.write(picture(0), 0.0)
    film = write_film(tmp_path / "film.mkv", 2, sound="pcm_s16le")
    with (
        pytest.raises(InvalidArgumentError, match=r"pcm_s16le\); write \.mkv"),
        VideoWriter(tmp_path / "out.webm", sound_of=film) as writer,
    ):
        writer.write(picture(0), 0.0)
    assert not (tmp_path / "out.webm").exists()


def test_without_pyav_the_message_says_what_to_install() -> None:
    code = "import sys; sys.modules['av'] = None; import tritonface._video_file as v; next(v.read_pictures('x.mp4'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1 and "pip install 'tritonface[video]'" in run.stderr
