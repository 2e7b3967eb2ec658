"""`tritonface batch`: the faces of very many images, into Parquet, going on where it was stopped."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from tritonface._cli_formats import faces
from tritonface._cli_model import detector_options, open_model
from tritonface._cli_progress import Progress
from tritonface._errors import InvalidArgumentError, TritonFaceError

SETTINGS = (
    "model",
    "model_dir",
    "hpi",
    "img_size",
    "threshold",
    "max_side_px",
    "strict",
    "tiles",
    "column",
    "piece_size",
)
"""What a result depends on; the server and how it is asked may differ when a run goes on."""
LINE_INTERVAL_S = 30.0


def batch(options: argparse.Namespace) -> int:
    """Run the command; returns how many images have no result."""
    from tritonface._batch.cluster import check_installed, detect_pieces, started

    check_installed()
    from tritonface._batch.folder import Counts, open_folder
    from tritonface._batch.listing import list_inputs

    for name in ("piece_size", "workers"):
        if getattr(options, name) < 1:
            raise InvalidArgumentError(f"--{name.replace('_', '-')} must be from 1 on, got {getattr(options, name)}")
    inputs = list_inputs(options.input, options.column, options.piece_size)
    with open_folder(options.out) as folder:
        folder.check(inputs, _settings(options))
        done = [(piece, folder.counts(piece)) for piece in inputs.pieces]
        left = [piece for piece, counts in done if counts is None]
        total = sum((counts for _, counts in done if counts), Counts())
        with _Told(inputs.count, total.images + total.failures) as told:
            if left:
                open_model(options).close()  # a server that is not there is told before anything is written
            folder.begin(inputs, _settings(options))
            if left:
                by_index = {piece.index: piece for piece in left}
                workers = min(options.workers, len(left))
                try:
                    with started(options.address, workers, folder):
                        for index, tables in detect_pieces(left, detector_options(options), workers):
                            folder.write(index, tables)
                            total += folder.counts(by_index[index]) or Counts()
                            told.advance(by_index[index].count)
                except TritonFaceError as error:
                    told.clear()
                    raise type(error)(
                        f"{error}; {total.images + total.failures:,} of {inputs.count:,} images are done, the same "
                        "command goes on with the others"
                    ) from error
    counted = f"{total.images + total.failures:,} images, {faces(total.faces)}, {total.failures:,} without a result"
    print(f"{counted} -> {options.out}")
    return total.failures


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in SETTINGS}
    return {**values, "model_dir": None if options.model_dir is None else str(options.model_dir)}


class _Told(Progress):
    """A bar on a terminal, and elsewhere, in a log perhaps, a line now and then."""

    def __init__(self, total: int, done: int) -> None:
        super().__init__(total, sys.stderr, unit="images", done=done)
        self._total_images, self._images, self._line_at_s = total, done, time.monotonic() + LINE_INTERVAL_S

    def advance(self, steps: int = 1) -> None:
        """So many images are done."""
        super().advance(steps)
        self._images += steps
        if not sys.stderr.isatty() and time.monotonic() >= self._line_at_s:
            self._line_at_s = time.monotonic() + LINE_INTERVAL_S
            print(f"{self._images:,} of {self._total_images:,} images", file=sys.stderr, flush=True)
