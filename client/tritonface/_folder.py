"""The images of a folder: what is one is told by its content, or by a suffix that promises one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tritonface._errors import InvalidArgumentError
from tritonface._image_file import FORMATS, format_of
from tritonface._images import READ_BY_PILLOW, SUFFIXES

FORMATS_READ = frozenset({*FORMATS, *READ_BY_PILLOW, "HEIC"}) - {"DIB"}
"""What counts as an image whatever it is called; the first bytes of a DIB, a number, are those of other files too."""
LOOKED_AT_BYTES = 64


def images_of(folder: Path, skipped: list[Path]) -> Iterator[Path]:
    """All images of a folder and those inside it, sorted by path; hidden files and folders (.name) are left out.

    A file with the suffix of an image is taken as one, so that a damaged one is not passed over in silence.

    Args:
        skipped: receives the files that are no images of a format that is read, and folders that cannot be read.

    Raises:
        InvalidArgumentError: there is none.
    """
    found = False
    for path in sorted(_visible_files(folder, skipped)):
        if path.suffix.lower() in SUFFIXES or _begins_like_an_image(path):
            found = True
            yield path
        else:
            skipped.append(path)
    if not found:
        raise InvalidArgumentError(
            f"no image in directory {str(folder)!r}: {len(skipped)} other files, hidden ones not counted"
        )


def _visible_files(folder: Path, skipped: list[Path]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        skipped.append(Path(os.fsdecode(error.filename)))

    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(place, name) for name in names if not name.startswith(".")]
        yield from (path for path in paths if path.is_file())  # no pipe, no link that leads nowhere


def _begins_like_an_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(LOOKED_AT_BYTES)
    except OSError:
        return False
    name = format_of(head)
    return name in FORMATS_READ and (name != "BMP" or b"\0" in head)  # a text may begin with BM
