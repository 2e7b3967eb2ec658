"""Small videos for tests: the demo's portrait moving about, with a tone as its sound."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from training.paths import ROOT

PORTRAIT = ROOT / "demo" / "photos" / "astronaut.jpg"
SOUND_RATE_HZ = 16_000
SPEED_PX = 4
"""By which the portrait moves to the left from picture to picture."""


def picture(index: int, size_wh: tuple[int, int] = (320, 240)) -> np.ndarray:
    """Picture `index` of a film, uint8 [H, W, 3] RGB: one face, unless the portrait has left."""
    width, height = size_wh
    scene = Image.new("RGB", size_wh, (70, 110, 90))
    with Image.open(PORTRAIT) as portrait:
        scene.paste(portrait.resize((height, height)), (width - height - SPEED_PX * index, 0))
    return np.asarray(scene)


def write_film(
    path: Path,
    count: int = 12,
    *,
    size_wh: tuple[int, int] = (320, 240),
    times_s: Sequence[float] | None = None,
    sound: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A video of `count` pictures, 25 a second or at `times_s`; with `sound`, a tone by an encoder of this name."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        pictures = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "4"})
        pictures.width, pictures.height = size_wh
        pictures.pix_fmt = "yuv420p" if not (size_wh[0] % 2 or size_wh[1] % 2) else "yuv444p"
        pictures.codec_context.time_base = Fraction(1, 1000)
        if sound:
            tone = container.add_stream(sound, rate=SOUND_RATE_HZ)
            tone.layout = "mono"
            write_tone(container, tone, count / 25)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture(index, size_wh)), format="rgb24")
            frame.time_base = Fraction(1, 1000)
            frame.pts = round(1000 * (index / 25 if times_s is None else times_s[index]))
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
    return path


def write_tone(container: av.container.OutputContainer, stream: av.AudioStream, length_s: float) -> None:
    """A tone of 440 Hz."""
    time_s = np.arange(int(length_s * SOUND_RATE_HZ)) / SOUND_RATE_HZ
    wave = (np.sin(2 * np.pi * 440 * time_s) * 10_000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate = SOUND_RATE_HZ
    resampler = av.AudioResampler(stream.format, stream.layout, SOUND_RATE_HZ, frame_size=stream.frame_size)
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(stream.encode(part))
    container.mux(stream.encode())


def turn(path: Path) -> None:
    """Mark an MP4 as one to be turned by 90 degrees clockwise, as phones held upright do it."""
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 4 + 5 * 4 + 2 * 8  # version and flags, times and so on, of version 0
    assert struct.unpack_from(">9i", data, matrix) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, matrix, 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def pictures_of(path: Path) -> list[tuple[float, np.ndarray]]:
    """All pictures of a video as an independent reader sees them: (time_s, uint8 [H, W, 3] RGB)."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def sound_of(path: Path) -> list[bytes]:
    """The packets of its sound."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
