"""What runs on a worker of Ray: the faces of one piece, by one detector whose connections stay open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tritonface._batch.listing import Piece
from tritonface._batch.parquet import RowGroup, images_in
from tritonface._batch.store import name_of, read_stored
from tritonface._batch.tables import tables_of
from tritonface._detector import _results
from tritonface._errors import ImageError, InvalidArgumentError, TritonFaceError
from tritonface._fetch import UrlPolicy, is_url
from tritonface._images import Payload
from tritonface._inputs import Source
from tritonface._options import Options
from tritonface._session import Session, open_session

CALLS = 2
"""Pieces that one worker has in hand: while the last images of one are waited for, the next is under way."""


@dataclass(frozen=True)
class ReadSource(Source):
    """An image that is neither a file nor a URL; `origin` is its name."""

    read: Callable[[], bytes] = bytes

    async def load(self, urls: UrlPolicy, max_side_px: int | None) -> Payload:
        return await asyncio.get_running_loop().run_in_executor(None, self._load, max_side_px)

    def _load(self, max_side_px: int | None) -> Payload:
        try:
            data = self.read()
        except (OSError, ValueError) as error:  # of a store; an ImageError is one too
            raise ImageError(self._cannot_read(error), self.input_path) from error
        return self._payload(data, max_side_px)


class Worker:
    """Called with a row `{"piece": text}`; usable from several threads.

    Args:
        options: of the detector.
        folder: in which relative paths are looked up.
    """

    def __init__(self, options: Options, folder: str) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        with contextlib.suppress(OSError):  # on another machine it may not be there
            os.chdir(folder)
        self._options = options
        self._session: Session | None = None
        self._lock = threading.Lock()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The tables of the piece, or why the run cannot go on; Ray would wrap an exception."""
        piece = piece_of(row["piece"])
        try:
            return {"index": piece.index, "error": "", "usage": False, **self._tables(piece)}
        except (TritonFaceError, OSError) as error:
            usage = isinstance(error, InvalidArgumentError)
            nothing = dict.fromkeys(("images", "faces", "failures"), b"")
            return {"index": piece.index, "error": str(error), "usage": usage, **nothing}

    def _tables(self, piece: Piece) -> dict[str, bytes]:
        with self._lock:
            if self._session is None:
                self._session = open_session(self._options).result()
        run = self._session.run_sources(sources_of(piece), self._options.batch_size, None, "yield")
        results = list(_results(run))
        if len(results) != piece.count:
            raise InvalidArgumentError(
                f"{name_of(piece.groups[0].file)!r} has changed: {len(results):,} rows where {piece.count:,} were"
            )
        return tables_of(enumerate(results, piece.first_id))


def sources_of(piece: Piece) -> Iterator[Source]:
    """The images of a piece; a row of a table without one is an image that cannot be read."""
    if piece.groups:
        for index, (name, data) in enumerate(images_in(piece.groups)):
            yield ReadSource(index, name, "", read=partial(_present, data, "the row has no image"))
        return
    for index, item in enumerate(piece.items):
        root, path = item
        if root:
            yield ReadSource(index, name_of(item), "", read=partial(read_stored, item))
        elif not path:
            yield ReadSource(index, "", "", read=partial(_present, None, "the row has no path"))
        else:
            yield Source(index, path if is_url(path) else Path(path), "")


def _present(data: bytes | None, otherwise: str) -> bytes:
    if data is None:
        raise ImageError(otherwise)
    return data


def text_of(piece: Piece) -> str:
    """As Ray hands it over; names of files may be no text."""
    return json.dumps([piece.index, piece.first_id, piece.count, piece.items, piece.groups])


def piece_of(text: str) -> Piece:
    """The same again."""
    index, first_id, count, items, groups = json.loads(text)
    taken = tuple(RowGroup(tuple(file), *rest) for file, *rest in groups)
    return Piece(index, first_id, count, tuple(map(tuple, items)), taken)
