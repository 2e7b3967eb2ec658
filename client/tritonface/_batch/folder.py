"""The folder that a run writes: which pieces are done, in files that are whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tritonface._batch.listing import Listing, Piece
from tritonface._batch.tables import TABLES
from tritonface._errors import InvalidArgumentError

MANIFEST = "manifest.json"
LOCK = ".lock"
FORMAT = 1


class Counts(NamedTuple):
    """Rows of the tables of a piece, or of several."""

    images: int = 0
    faces: int = 0
    failures: int = 0

    def __add__(self, other: Counts) -> Counts:  # type: ignore[override]
        return Counts(*(mine + more for mine, more in zip(self, other)))


class RunFolder:
    """`DIR/images`, `faces` and `failures`, a file for each piece, and `DIR/manifest.json`; see `open_folder`."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    def check(self, inputs: Listing, settings: dict[str, Any]) -> None:
        """InvalidArgumentError if another run was begun here, or the folder holds something else."""
        manifest = self.path / MANIFEST
        if manifest.is_file():
            self._compare(json.loads(manifest.read_text(encoding="utf-8")), _manifest(inputs, settings))
        elif any(not path.name.startswith(".") for path in self.path.iterdir()):
            raise InvalidArgumentError(
                f"{str(self.path)!r} holds other files and no run of this command; name another --out"
            )

    def begin(self, inputs: Listing, settings: dict[str, Any]) -> None:
        """Note what is run here, and clear what a run that was killed has left."""
        text = json.dumps(_manifest(inputs, settings), indent=2) + "\n"
        write_whole(self.path / MANIFEST, text.encode())
        for table in TABLES:
            (self.path / table).mkdir(exist_ok=True)
            for left in (self.path / table).glob(".*.tmp"):
                left.unlink()

    def counts(self, piece: Piece) -> Counts | None:
        """What was found in a piece; None if it is not done, or one of its files is damaged."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            rows = {table: parquet.read_metadata(self._file(table, piece.index)).num_rows for table in TABLES}
        except (OSError, pa.ArrowException):
            return None
        found = Counts(**rows)
        return found if found.images + found.failures == piece.count else None

    def write(self, index: int, tables: dict[str, bytes]) -> None:
        """The tables of a piece, images last; from then on it is done."""
        for table in TABLES:
            write_whole(self._file(table, index), tables[table])

    def note_temporary(self, folder: Path | None) -> None:
        """Which folder elsewhere belongs to this run, for the next to remove if this one is killed."""
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, b"" if folder is None else os.fsencode(folder), 0)

    def noted_temporary(self) -> Path | None:
        """What a run that was killed has noted."""
        noted = os.pread(self._lock_fd, 4096, 0)
        return Path(os.fsdecode(noted)) if noted else None

    def _file(self, table: str, index: int) -> Path:
        return self.path / table / f"{index:06d}.parquet"

    def _compare(self, there: dict[str, Any], now: dict[str, Any]) -> None:
        def refuse(what: str) -> InvalidArgumentError:
            return InvalidArgumentError(
                f"{str(self.path)!r} holds another run: {what}; name another --out, or repeat the command of that run"
            )

        if there.get("format") != now["format"]:
            raise refuse(f"its format is {there.get('format')}, and this version writes {now['format']}")
        for name, value in now["settings"].items():
            if there["settings"].get(name) != value:
                raise refuse(f"{name} is {there['settings'].get(name)!r} there and {value!r} here")
        if there["images"] != now["images"]:
            raise refuse(f"it has {there['images']:,} inputs, and here are {now['images']:,}")
        if there["fingerprint"] != now["fingerprint"]:
            raise refuse("as many inputs, but names, sizes or order are not the same")


def _manifest(inputs: Listing, settings: dict[str, Any]) -> dict[str, Any]:
    facts = {"images": inputs.count, "pieces": len(inputs.pieces), "fingerprint": inputs.fingerprint}
    read_again: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **facts, "settings": settings}))
    return read_again


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[RunFolder]:
    """The folder, made if it is not there, and held so that no other run writes to it.

    Raises:
        InvalidArgumentError: another run holds it, or it is a file.
        OSError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InvalidArgumentError(f"--out {str(path)!r} is no folder; name one, which need not be there") from None
    lock_fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidArgumentError(f"another run is writing to {str(path)!r}") from None
        yield RunFolder(path, lock_fd)
    finally:
        os.close(lock_fd)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also when the machine stops."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder_fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
