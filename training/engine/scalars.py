"""Curves for TensorBoard, written where they arise: a thread of its own would hide that the disk is full."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary


class ScalarFile:
    """One file of curves, for one run.

    Args:
        folder: receives it; several runs' files make one curve.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"))

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each curve; OSError if it cannot be written."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.write_event(Event(step=step, wall_time=time.time(), summary=Summary(value=scalars)))
        self._writer.flush()

    def close(self) -> None:
        """Close the file; what cannot be written was told by `add`."""
        with contextlib.suppress(OSError):
            self._writer.close()
