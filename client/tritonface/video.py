"""Videos written: BGR pictures, each with its time, and the sound of another file. Needs PyAV, the extra `video`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonface._errors import InvalidArgumentError
from tritonface._video_file import USUAL_RATE, beginning_s, import_av, open_video

__all__ = ["VideoWriter"]

H264 = ("libx264", {"preset": "veryfast", "crf": "20"})
VP9 = ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"})
CODECS = {".m4v": H264, ".mkv": H264, ".mov": H264, ".mp4": H264, ".webm": VP9}
"""Encoder and its settings by the suffix of the file."""
TIME_BASE = Fraction(1, 90_000)
LONGER_SOUND_S = 1.0
BT709, LIMITED_RANGE = 1, 1
"""FFmpeg's numbers for the colours of HD video, with which the pictures are written and marked."""


class VideoWriter:
    """A video file: H.264 in .mp4, .mov, .m4v and .mkv, VP9 in .webm. A context manager; leaving it ends the file.

    Pictures keep their times, so that a source of changing rate stays one. Metadata, covers, subtitles and other tracks
    of the source are not taken along. What was written when an error or Ctrl-C comes can be played.

    Args:
        path: the file; one that is there is replaced.
        sound_of: take the sound of this file along, as it is.
        rate: pictures per second, about; a hint for the encoder.

    Raises:
        InvalidArgumentError: a suffix of another kind, or sound that such a file cannot hold.
        OSError: the file cannot be written; at the first picture.

    Example:
        >>> with create_model("BlazeFace") as model, VideoWriter("boxes.mp4", sound_of="film.mp4") as out:
        ...     for frame in model.predict_video("film.mp4", batch_size=4):
        ...         out.write(frame.drawn(), frame.time_s)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sound_of: str | os.PathLike[str] | None = None,
        rate: Fraction | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in CODECS:
            raise InvalidArgumentError(
                f"videos are written as {', '.join(sorted(CODECS))}, not {self.path.suffix or 'without a suffix'}"
            )
        self._av = import_av()
        self._sound_of, self._rate = sound_of, rate or USUAL_RATE
        self._container: Any = None
        self._last_pts = -1
        self._sound: _Sound | None = None

    def write(self, image: npt.NDArray[np.uint8], time_s: float) -> None:
        """Add a picture, uint8 [H, W, 3] BGR; one of another size than the first is stretched to it.

        Odd sides get one more row or column, the last one again, as this kind of video has none.
        """
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._container is None:
            self._open(image.shape[1], image.shape[0])
        frame = self._av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="bgr24").reformat(
            width=self._stream.width, height=self._stream.height, format="yuv420p", dst_colorspace=BT709
        )
        self._last_pts = max(self._last_pts + 1, round(time_s / TIME_BASE))
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        if self._sound is not None:
            self._sound.copy_until(time_s)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """End the file; its sound goes on for a second after the last picture at most."""
        if self._container is None:
            return
        container, self._container = self._container, None
        with container, contextlib.closing(self._sound) if self._sound else contextlib.nullcontext():
            container.mux(self._stream.encode())
            if self._sound is not None:
                self._sound.copy_until(float(self._last_pts * TIME_BASE) + LONGER_SOUND_S)

    def _open(self, width: int, height: int) -> None:
        codec, settings = CODECS[self.path.suffix.lower()]
        container = self._av.open(os.path.abspath(self.path), "w")  # noqa: PTH100  (what begins with / is no address)
        stream = container.add_stream(codec, rate=self._rate, options=settings)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.color_range, context.colorspace = LIMITED_RANGE, BT709
        context.color_primaries, context.color_trc = BT709, BT709
        if self._sound_of is not None:
            try:
                self._sound = _Sound(container, self._sound_of, self.path)
            except BaseException:
                container.close()
                self.path.unlink(missing_ok=True)
                raise
        self._container, self._stream = container, stream

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Sound:
    """The sound of a file, copied packet by packet as the pictures come."""

    def __init__(self, output: Any, path: str | os.PathLike[str], written: Path) -> None:
        self._output, self._input = output, open_video(path)
        self._zero_s = beginning_s(self._input)
        streams = self._input.streams.audio
        try:
            self._copies = {stream.index: output.add_stream_from_template(stream) for stream in streams}
        except ValueError:
            codecs = ", ".join(sorted({stream.codec_context.name for stream in streams}))
            raise InvalidArgumentError(
                f"a {written.suffix} file cannot hold the sound of {str(path)!r} ({codecs}); write .mkv, which can, or "
                "leave the sound out"
            ) from None
        self._packets: Iterator[Any] = self._input.demux(*streams) if streams else iter(())
        self._next: Any = None

    def copy_until(self, time_s: float) -> None:
        """Write the packets that begin before a time."""
        while True:
            if self._next is None:
                self._next = self._read()
            if self._next is None or self._begins_s(self._next) >= time_s:
                return
            packet, self._next = self._next, None
            shift = round(self._zero_s / packet.time_base)
            pts = packet.dts if packet.pts is None else packet.pts
            packet.pts, packet.dts = pts - shift, packet.dts - shift
            packet.stream = self._copies[packet.stream.index]
            self._output.mux(packet)

    def _begins_s(self, packet: Any) -> float:
        return float(packet.dts * packet.time_base) - self._zero_s

    def _read(self) -> Any:
        """The next packet that has a time; None at the end, and where the file is damaged."""
        try:
            return next((packet for packet in self._packets if packet.dts is not None), None)
        except (import_av().error.FFmpegError, OSError):
            return None

    def close(self) -> None:
        self._input.close()
