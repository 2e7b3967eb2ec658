"""The pictures of a data set: whether they are there, whole and as annotated, without decoding; their bytes."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.coco_format import CocoImage
from training.dataset_problems import Problems, first_of
from tritonface_server.image_file import CUT_OFF
from tritonface_server.images import ImageError, open_image
from tritonface_server.limits import MAX_ENCODED_BYTES

LOG = logging.getLogger(__name__)
PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
"""What a file of a folder has to end with, in small or large letters, to be taken for a picture."""


def read_picture(path: Path) -> bytes:
    """The bytes of a picture's file, at most one more than the server takes.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which could make us wait for ever.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))
    with path.open("rb") as file:
        return file.read(MAX_ENCODED_BYTES + 1)


def check_pictures(folder: Path, images: Sequence[CocoImage], problems: Problems) -> None:
    """Open every picture as training will, without decoding it; those that are cut off are logged.

    In threads, because slow disks and networks make one wait.
    """
    cut_off = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for image, problem in zip(images, pool.map(lambda image: _picture_problem(folder, image), images)):
            if problem == CUT_OFF:
                cut_off.append(repr(image.file_name))
            elif problem:
                kind, _, detail = problem.partition(": ")
                problems.add(kind, f"image {image.id} {image.file_name!r}" + (f" ({detail})" if detail else ""))
    if cut_off:
        LOG.warning("%s: %d images: %s (%s)", problems.source, len(cut_off), CUT_OFF, first_of(cut_off))


def _picture_problem(folder: Path, image: CocoImage) -> str | None:
    """What is wrong with a picture, as "kind" or "kind: detail"."""
    path = folder / image.file_name
    try:
        if path.exists() and not path.is_file():
            return "images are no files"
        header = open_image(read_picture(path)).header
    except (FileNotFoundError, NotADirectoryError):
        return "images are missing"
    except (OSError, ImageError) as error:
        return f"images are unreadable: {error}"
    if header.upright_wh != image.size_wh:
        (width, height), (annotated_width, annotated_height) = header.upright_wh, image.size_wh
        as_stored = "; boxes belong to the picture as its orientation turns it" * (header.stored_wh == image.size_wh)
        return (
            f"images have another size than annotated: {width}x{height} px, "
            f"annotated {annotated_width}x{annotated_height}{as_stored}"
        )
    return CUT_OFF if header.cut_off else None
