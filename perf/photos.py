"""Real photos of every size and crowd, made from the shipped ones when a measurement needs them.

Enlarging a photo makes it smooth, which a JPEG decoder finds easy; film grain is added until the file has as many
bytes per pixel as the original, so that decoding costs what it costs for a photo of that size.
"""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np

from training.paths import ROOT

PHOTOS = ROOT / "demo" / "photos"
GROUP, PORTRAIT = PHOTOS / "solvay_1927.jpg", PHOTOS / "astronaut.jpg"
QUALITY = 90
GRAIN_SIGMA = 7.0
FACE_XYXY_PX = (175, 50, 280, 190)
"""Where the face of `PORTRAIT` is, with hair and some neck."""

TYPICAL_MEGAPIXELS = 1.5


@cache
def photo(megapixels: float) -> bytes:
    """The group photo as a JPEG file of so many megapixels, with grain where it had to be enlarged."""
    original = cv2.imread(str(GROUP))
    height, width = original.shape[:2]
    scale = math.sqrt(megapixels * 1e6 / (width * height))
    size_wh = (round(width * scale), round(height * scale))
    if scale < 1:
        return encode(cv2.resize(original, size_wh, interpolation=cv2.INTER_AREA))
    return encode(with_grain(cv2.resize(original, size_wh, interpolation=cv2.INTER_CUBIC)))


def with_grain(enlarged: np.ndarray) -> np.ndarray:
    """A picture, uint8 [H, W, 3], with film grain."""
    grain = np.random.default_rng(0).normal(0, GRAIN_SIGMA, enlarged.shape[:2]).astype(np.float32)
    return np.clip(enlarged + grain[..., None], 0, 255).astype(np.uint8)


@cache
def crowd(faces: int, side_px: int = 1280) -> bytes:
    """A square JPEG file with so many equal faces on a grid; how many of them are found is the detector's affair."""
    portrait = cv2.imread(str(PORTRAIT))
    x_min, y_min, x_max, y_max = FACE_XYXY_PX
    face = portrait[y_min:y_max, x_min:x_max]
    picture = np.full((side_px, side_px, 3), portrait[y_min, x_min], np.uint8)
    columns = math.ceil(math.sqrt(faces * face.shape[0] / face.shape[1]))
    cell_w = side_px / max(columns, 1)
    cell_h = side_px / max(math.ceil(faces / max(columns, 1)), 1)
    for i in range(faces):
        row, column = divmod(i, columns)
        y, x = int(row * cell_h), int(column * cell_w)
        tile = fit(face, (int(cell_w), int(cell_h)))
        picture[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return encode(picture)


def fit(image: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """The image shrunk until it fits into a cell of that size; never enlarged."""
    scale = min(1.0, size_wh[0] / image.shape[1], size_wh[1] / image.shape[0])
    fitting_wh = (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale)))
    return cv2.resize(image, fitting_wh, interpolation=cv2.INTER_AREA)


def encode(image: np.ndarray, *parameters: int) -> bytes:
    """A JPEG file of quality `QUALITY`; further parameters are those of `cv2.imencode`."""
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *parameters])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be encoded as JPEG")
    return encoded.tobytes()


def size_wh(encoded: bytes) -> tuple[int, int]:
    """Width and height in pixels of an encoded image."""
    height, width = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return width, height
