"""The pictures of a data set: whether they are there and as annotated, from their headers alone, and their bytes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from training.coco_format import CocoImage
from training.dataset_problems import Problems
from tritonface_server.images import FORMAT_NAMES, FORMATS
from tritonface_server.limits import MAX_ENCODED_BYTES, MAX_PIXELS, MAX_SIDE_PX

EXIF_ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)


def read_picture(path: Path) -> bytes:
    """The bytes of a picture's file, at most one more than the server takes.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which could make us wait for ever.
    """
    if path.exists() and not path.is_file():
        raise OSError("not a file")
    with path.open("rb") as file:
        return file.read(MAX_ENCODED_BYTES + 1)


def check_pictures(folder: Path, images: Sequence[CocoImage], problems: Problems) -> None:
    """Compare every picture's header with its entry; threads, because slow disks and networks make one wait."""
    with warnings.catch_warnings(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        warnings.simplefilter("ignore")  # of Pillow, for large pictures and odd metadata; both are checked here
        for image, problem in zip(images, pool.map(lambda image: _picture_problem(folder, image), images)):
            if problem:
                kind, detail = problem
                problems.add(kind, f"image {image.id} {image.file_name!r}{detail}")


def _picture_problem(folder: Path, image: CocoImage) -> tuple[str, str] | None:
    """What is wrong with a picture: the kind and, after the name, the detail."""
    path = folder / image.file_name
    try:
        if path.exists() and not path.is_file():
            return "images are no files", ""
        width, height = upright_size_wh(path)
    except Image.DecompressionBombError:
        return "images have too many pixels", ""
    except (FileNotFoundError, NotADirectoryError):
        return "images are missing", ""
    except Exception as error:  # Pillow raises anything on damaged headers
        unknown = isinstance(error, Image.UnidentifiedImageError)
        reason = f"not {FORMAT_NAMES}" if unknown else " ".join(str(error).split()) or type(error).__name__
        return "images are unreadable", f" ({reason})"
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        return "images have too many pixels", f" ({width}x{height})"
    if (width, height) != image.size_wh:
        annotated = f"{image.size_wh[0]}x{image.size_wh[1]}"
        return "images have another size than annotated", f" ({width}x{height} px, annotated {annotated})"
    return None


def upright_size_wh(path: Path) -> tuple[int, int]:
    """Pixels of a picture after its EXIF orientation, from the header alone; whatever Pillow raises otherwise."""
    with Image.open(path, formats=FORMATS) as picture:
        width, height = picture.size
        sideways = picture.info.get("exif") and picture.getexif().get(EXIF_ORIENTATION) in SIDEWAYS
    return (height, width) if sideways else (width, height)
