"""Videos and cameras read picture by picture, upright, each with its time. Needs PyAV, the extra `video`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np
import numpy.typing as npt

from tritonface._errors import ImageError, InvalidArgumentError
from tritonface._images import check_size

VideoInput = Union[str, "os.PathLike[str]", int]

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm"}
) | {".wmv"}
"""What is a video in a folder; of a file that is named the content decides."""

MICROSECONDS = 1_000_000
"""FFmpeg's times of a whole file, in a second."""
USUAL_RATE = Fraction(25)
"""Of a file that says neither times nor rate."""

log = logging.getLogger("tritonface")


class VideoFacts(NamedTuple):
    """What a file says of itself.

    Attributes:
        frames: about how many pictures it has; None if it does not say.
        rate: pictures per second, on average; None if it does not say.
    """

    frames: int | None
    rate: Fraction | None


def shown_name(source: VideoInput) -> str:
    """What results and messages call it: the path, or camera:0."""
    return f"camera:{source}" if isinstance(source, int) else os.fsdecode(source)


def import_av() -> Any:
    """PyAV; InvalidArgumentError if it is not installed."""
    try:
        import av
    except ImportError:
        raise InvalidArgumentError("videos need PyAV: pip install 'tritonface[video]'") from None
    return av


def open_video(source: VideoInput) -> Any:
    """PyAV's container; it opens no other file and no address, whatever a playlist in it says.

    Raises:
        ImageError: no such file or camera, or not a video.
    """
    av, name = import_av(), shown_name(source)
    try:
        if isinstance(source, int):
            return av.open(_camera(source), format="v4l2")
        path = os.path.abspath(os.fsdecode(source))  # noqa: PTH100  (what begins with / is no address)
        return av.open(path, metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError) as error:
        raise ImageError(f"cannot read the video {name!r}: {_reason(error, source)}", name) from error


def facts_of(source: VideoInput) -> VideoFacts:
    """Length and rate of a file, without decoding it; nothing is known of a camera.

    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(source, int):
        return VideoFacts(None, None)
    with open_video(source) as container:
        stream = _pictures_of(container, shown_name(source))
        rate, frames = stream.average_rate, stream.frames or None
        if frames is None and rate and container.duration:
            frames = round(container.duration / MICROSECONDS * rate)
    return VideoFacts(frames, rate)


def beginning_s(container: Any) -> float:
    """The time in an opened file that counts as 0, for pictures and sound alike."""
    return (container.start_time or 0) / MICROSECONDS


def read_pictures(source: VideoInput) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    """The pictures of a video or camera in the order in which they are shown: (time_s, uint8 [H, W, 3] BGR, upright).

    What cannot be decoded is left out, and said once at the end. The file is closed when the iterator is.

    Raises:
        ImageError: no such file or camera, not a video, too many pixels, or no picture can be decoded.
    """
    name, count = shown_name(source), 0
    failures: list[Exception] = []
    with open_video(source) as container:
        stream = _pictures_of(container, name)
        stream.thread_type = "AUTO"
        zero_s = None if isinstance(source, int) else beginning_s(container)
        rate = stream.average_rate or USUAL_RATE
        for frame in _decoded(container.demux(stream), failures):
            if zero_s is None:
                zero_s = frame.time or 0.0
            yield float(count / rate) if frame.time is None else frame.time - zero_s, _upright(frame)
            count += 1
    if not count:
        raise ImageError(f"cannot read the video {name!r}: it holds no picture that can be decoded", name)
    if failures:
        log.warning("%s: damaged in %d places, where pictures are missing (%s)", name, len(failures), failures[0])


def _decoded(packets: Iterator[Any], failures: list[Exception]) -> Iterator[Any]:
    """The pictures of all packets that can be decoded; why others cannot is added to `failures`."""
    av = import_av()
    while True:
        try:
            packet = next(packets, None)  # after a failure to read, FFmpeg's iterator has ended
            frames = [] if packet is None else packet.decode()
        except (av.error.FFmpegError, OSError) as error:
            failures.append(error)
            continue
        if packet is None:
            return
        yield from frames


def _upright(frame: Any) -> npt.NDArray[np.uint8]:
    image: npt.NDArray[np.uint8] = frame.to_ndarray(format="bgr24")
    quarter_turns = round(frame.rotation / 90)  # counterclockwise
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image


def _pictures_of(container: Any, name: str) -> Any:
    """The stream of moving pictures, with sides within the limits."""
    av = import_av()
    stream = container.streams.best("video")
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        raise ImageError(f"cannot read the video {name!r}: it holds no moving pictures, only sound or a cover", name)
    try:
        check_size((stream.codec_context.width, stream.codec_context.height))
    except ImageError as error:
        raise ImageError(f"cannot read the video {name!r}: {error}", name) from None
    return stream


def _camera(number: int) -> str:
    if not sys.platform.startswith("linux"):
        raise OSError("cameras are read on Linux only; elsewhere read with OpenCV, and pass the arrays to predict")
    return f"/dev/video{number}"


def _reason(error: Exception, source: VideoInput) -> str:
    if isinstance(source, int) and isinstance(error, FileNotFoundError):
        found = sorted(path.name[len("video") :] for path in Path("/dev").glob("video[0-9]*"))
        return f"there is no camera {source}; cameras of this machine: {', '.join(found) or 'none'}"
    if not isinstance(source, int) and Path(source).is_file() and not Path(source).stat().st_size:
        return "the file is empty (0 bytes)"
    return getattr(error, "strerror", None) or str(error)
