"""Pictures of the recipe `crowds`: whole ones stretched as served, and grids of tiles with faces of many sizes.

The shares of the kinds are chosen; the rest is what the cards of the shipped weights say of their training.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from training.augment.chain import chain
from training.augment.colour import distort
from training.augment.geometry import flip, keep_inside, stretch
from training.augment.ignore import ignore_beyond, ignore_sizes
from training.augment.photo import blur, tilt
from training.augment.sample import Others, Sample
from training.augment.tile import crop_crowd, cut_tile

COLUMNS = (0, 1, 2, 4)
"""Of a grid of as many rows; 0: the whole picture, stretched."""
SHARES = (0.4, 0.25, 0.25, 0.1)
LARGEST_SHARE = 0.95
"""Of the side of the network's input; larger faces are ignored. Tiles draw less, then stretch them."""

restyle = chain((flip, tilt, distort, blur))


def compose_crowds(
    sample: Sample,
    others: Others,
    rng: np.random.Generator,
    *,
    size_px: int,
    interpolation: int,
    smallest_px: float,
    most_faces: int | None,
) -> Sample:
    """A picture of the recipe, see `training.augment.sample.Compose`.

    Args:
        smallest_px: smaller faces are ignored, and none is made smaller on purpose.
        most_faces: of more, the smallest are ignored; None: all are learnt.
    """
    columns = int(rng.choice(COLUMNS, p=SHARES))
    sample = crop_crowd(sample, rng)
    if columns == 0:
        picture = restyle(stretch(sample, (size_px, size_px), interpolation), rng)
    else:
        ends_px = np.linspace(0, size_px, columns + 1).astype(np.int64)
        tiles = []
        for row, column in product(range(columns), repeat=2):
            source = crop_crowd(others(rng), rng) if tiles else sample
            size_wh = int(ends_px[column + 1] - ends_px[column]), int(ends_px[row + 1] - ends_px[row])
            tiles.append(restyle(cut_tile(source, rng, size_wh, smallest_px), rng))
        picture = join(tiles, columns)
    return ignore_beyond(ignore_sizes(picture, smallest_px, LARGEST_SHARE * size_px), most_faces)


def join(tiles: Sequence[Sample], columns: int) -> Sample:
    """One picture of tiles, row by row; those of a row are equally high, those of a column equally wide."""
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    boxes, top = [], 0
    for row in rows:
        left = 0
        for tile in row:
            boxes.append(tile.boxes_xyxy_px + np.float32([left, top, left, top]))
            left += tile.size_wh[0]
        top += row[0].size_wh[1]
    picture = np.concatenate([np.concatenate([tile.picture for tile in row], axis=1) for row in rows])
    # Addition may round a very narrow box to nothing.
    return keep_inside(Sample(picture, np.concatenate(boxes), np.concatenate([tile.labels for tile in tiles])))
