"""Object stores and other remote folders, by PyArrow where it knows them and by fsspec otherwise."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from tritonface._errors import ImageError, InvalidArgumentError
from tritonface._limits import MAX_ENCODED_BYTES

STORE = re.compile(r"(?!https?:|data:)([A-Za-z][A-Za-z0-9+.-]+)://([^/?]*)(.*)", re.DOTALL)
"""Scheme, bucket (with a user, perhaps) and the rest; a letter and a colon are a drive of Windows."""
QUERY = re.compile(r"\?(\w+=[^/?]*)$")
"""Of the store, e.g. ?region=eu-north-1; other question marks belong to names."""

Item = tuple[str, str]
"""What an image is read from: the root of a store and the path there; "" and a local path or URL."""


def item_of(text: str) -> Item:
    """A path, URL or URI, taken apart; `file://` is local."""
    found = STORE.match(text)
    if found is None:
        return "", text
    scheme, bucket, rest = found.groups()
    if scheme == "file":
        return "", rest
    query = QUERY.search(rest)
    path = rest[: query.start()] if query else rest
    return f"{scheme}://{bucket}{query[0] if query else ''}", path.lstrip("/")


def name_of(item: Item) -> str:
    """As results name it: without the store's user, password and settings."""
    root, path = item
    if not root:
        return path
    scheme, _, bucket = root.partition("?")[0].partition("://")
    return f"{scheme}://{bucket.rpartition('@')[2]}/{path}"


@lru_cache(maxsize=64)
def open_store(root: str) -> tuple[Any, str]:
    """An fsspec file system, and the path of `root` in it, to which a slash and the item's path are added.

    Raises:
        InvalidArgumentError: nobody here knows this kind of store.
        OSError: it cannot be reached.
    """
    import fsspec
    import pyarrow as pa
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs

    try:
        system, path = fs.FileSystem.from_uri(root)
        return ArrowFSWrapper(system), path
    except pa.ArrowInvalid:  # not one of its kinds
        pass
    try:
        system, path = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise InvalidArgumentError(f"cannot open {name_of((root, ''))!r}: {error}") from None
    return system, path


def path_in(root: str, path: str) -> tuple[Any, str]:
    """The file system of a store, and the whole path there."""
    system, base = open_store(root)
    return system, f"{base.rstrip('/')}/{path}" if base.strip("/") else f"{base}{path}"


def read_stored(item: Item) -> bytes:
    """The bytes of one image in a store.

    Raises:
        OSError: it cannot be read.
        ImageError: it is larger than the limit.
    """
    system, path = path_in(*item)
    with system.open(path, "rb") as file:
        data: bytes = file.read(MAX_ENCODED_BYTES + 1)
    if len(data) > MAX_ENCODED_BYTES:
        raise ImageError(f"the file is larger than the limit of {MAX_ENCODED_BYTES:,} bytes")
    return data
