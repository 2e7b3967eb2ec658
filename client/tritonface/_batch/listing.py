"""INPUT taken apart: folders, globs, image files, Parquet of paths or bytes, object stores; then split into pieces."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tritonface._batch.parquet import RowGroup, column_of, groups_of, open_parquet, paths_of
from tritonface._batch.store import Item, item_of, name_of, open_store, path_in
from tritonface._errors import InvalidArgumentError
from tritonface._fetch import is_url
from tritonface._folder import images_of
from tritonface._images import SUFFIXES
from tritonface._inputs import tell_skipped

NOT_KNOWN = -1
"""The size in bytes of an image that is listed without being looked at, or that is not there."""


@dataclass(frozen=True)
class Piece:
    """Consecutive images, which are worked on, written and repeated together.

    Attributes:
        index: position among all pieces.
        first_id: `image_id` of the first image, its position among all images.
        count: how many images.
        items: where each is read from; empty if they are rows of `groups`.
        groups: row groups of one Parquet file that hold the images themselves.
    """

    index: int
    first_id: int
    count: int
    items: tuple[Item, ...] = ()
    groups: tuple[RowGroup, ...] = ()


@dataclass(frozen=True)
class Listing:
    """All inputs in order.

    Attributes:
        fingerprint: of names, sizes and order.
    """

    pieces: list[Piece]
    count: int
    fingerprint: str


def list_inputs(inputs: Iterable[str], column: str | None, piece_size: int) -> Listing:
    """Look at all inputs; the same files give the same pieces.

    Args:
        inputs: as the command line takes them.
        column: of Parquet files; None for the only one that holds texts or bytes.
        piece_size: images of a piece. Row groups of pictures are never cut: such a piece is as many of them as have no
            more images than this, and at least one.

    Raises:
        InvalidArgumentError: an input that gives no image, or cannot be read at all.
        OSError: a store cannot be reached.
    """
    pieces: list[Piece] = []
    digest = hashlib.sha256()
    waiting: list[Item] = []
    count = 0

    def cut(number: int, items: tuple[Item, ...] = (), groups: tuple[RowGroup, ...] = ()) -> None:
        nonlocal count
        if number:
            pieces.append(Piece(len(pieces), count, number, items, groups))
            count += number

    for found, size in _all(inputs, column):
        digest.update(json.dumps([found, size]).encode())
        if isinstance(found, RowGroup):
            cut(len(waiting), tuple(waiting))
            waiting.clear()
            last = pieces[-1] if pieces else None
            if last and last.groups and last.groups[0].file == found.file and last.count + found.rows <= piece_size:
                count -= pieces.pop().count
                cut(last.count + found.rows, groups=(*last.groups, found))
            else:
                cut(found.rows, groups=(found,))
            continue
        waiting.append(found)
        if len(waiting) == piece_size:
            cut(len(waiting), tuple(waiting))
            waiting.clear()
    cut(len(waiting), tuple(waiting))
    return Listing(pieces, count, digest.hexdigest())


def _all(inputs: Iterable[str], column: str | None) -> Iterator[tuple[Item | RowGroup, int]]:
    skipped: list[Path] = []
    for text in inputs:
        if not text:
            raise InvalidArgumentError("an input is an empty string; pass a file or directory, '.' for this one")
        for item, size in _files(text, skipped):
            if PurePosixPath(item[1]).suffix.lower() in (".parquet", ".pq") and not is_url(item[1]):
                yield from _in_parquet(item, size, column)
            else:
                yield item, size
    tell_skipped(skipped)


def _files(text: str, skipped: list[Path]) -> Iterator[tuple[Item, int]]:
    root, path = item_of(text)
    if root:
        yield from _in_store(text, root, path)
    elif is_url(path):
        yield (root, path), NOT_KNOWN
    elif Path(path).is_dir():
        yield from (_local(image) for image in images_of(Path(path), skipped))
    elif glob.has_magic(path) and not Path(path).exists():
        found = sorted(name for name in glob.glob(path, recursive=True) if Path(name).is_file())  # noqa: PTH207
        if not found:
            raise InvalidArgumentError(f"no file matches {text!r}")
        yield from (_local(Path(name)) for name in found)
    else:
        yield _local(Path(path))


def _local(path: Path) -> tuple[Item, int]:
    try:
        return ("", str(path)), path.stat().st_size
    except (OSError, ValueError):  # it becomes a failure when its turn comes
        return ("", str(path)), NOT_KNOWN


def _in_store(text: str, root: str, path: str) -> Iterator[tuple[Item, int]]:
    system, whole = path_in(root, path)
    base = open_store(root)[1].rstrip("/")

    def items(details: dict[str, Any], every: bool) -> Iterator[tuple[Item, int]]:
        for name, facts in sorted(details.items()):
            here = name[len(base) :].lstrip("/") if name.startswith(base) else name.lstrip("/")
            hidden = any(part.startswith(".") for part in here.split("/"))
            if facts["type"] == "file" and (every or (PurePosixPath(here).suffix.lower() in SUFFIXES and not hidden)):
                yield (root, here), int(facts.get("size") or 0)

    if glob.has_magic(path):
        found = list(items(system.glob(whole, detail=True), every=True))
    elif system.isdir(whole):
        found = list(items(system.find(whole, detail=True), every=False))
    elif path.endswith("/"):
        found = []
    else:
        size = system.info(whole).get("size") if system.exists(whole) else None
        found = [((root, path), NOT_KNOWN if size is None else int(size))]
    if not found:
        raise InvalidArgumentError(f"no image in {name_of(item_of(text))!r}")
    yield from found


def _in_parquet(item: Item, size: int, column: str | None) -> Iterator[tuple[Item | RowGroup, int]]:
    with open_parquet(item) as file:
        name, holds_paths = column_of(file, name_of(item), column)
        if holds_paths:
            for path in paths_of(file, name):
                yield item_of(path or ""), NOT_KNOWN
        else:
            yield from ((group, size) for group in groups_of(file, item, name))
