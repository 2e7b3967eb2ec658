"""Whether two variants of a trained network find the same faces in a photo, within what a lower precision changes.

Measured with all four detectors on the demo photos at the sizes of L0_hpi against ONNX Runtime in float32, OpenVINO in
bfloat16 with the kernels for AVX512_BF16 and in float32 with those for AVX-512:

| bfloat16    | IoU .828, score .011 away | IoU .9889, score .0040 away |
| float32     | IoU 1.000, score .000     | IoU 1.0000, score .0000     |
| allowed     | IoU .75, score .08        | IoU .965, score .03         |

Of two boxes for one face the better one suppresses the other; where their scores are nearly equal, either may be the
better one. So the like of a face may be a box that the other variant has seen and suppressed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.reference import iou_with_each

LEAST_IOU, LEAST_MEAN_IOU = 0.75, 0.965
SCORE, MEAN_SCORE = 0.08, 0.03
NOTHING = np.zeros((0, 5), np.float32)

Seen = Callable[[], np.ndarray]
"""Gives rows of [score, xmin, ymin, xmax, ymax], [K, 5]."""


def rows_of(boxes: list[dict]) -> np.ndarray:
    """The boxes of a result as rows of [score, xmin, ymin, xmax, ymax], [K, 5]."""
    return np.array([[box["score"], *box["coordinate"]] for box in boxes], np.float32).reshape(-1, 5)


def assert_alike(
    one: np.ndarray, other: np.ndarray, threshold: float, seen: tuple[Seen, Seen] = (lambda: NOTHING, lambda: NOTHING)
) -> None:
    """Every face of one clearly above the threshold both were asked with has its like in the other, and vice versa.

    Args:
        seen: give all boxes that `one` and `other` had before suppression; asked where a face has no like without.
    """
    ious, apart = [], []
    for these, those, seen_by_those in ((one, other, seen[1]), (other, one, seen[0])):
        clear = these[these[:, 0] > threshold + SCORE]
        assert len(clear) and len(those)
        for score, *box in clear:
            candidates, overlaps = those, iou_with_each(np.array(box, np.float32), those[:, 1:])
            if overlaps.max() <= LEAST_IOU:
                candidates = np.concatenate([those, seen_by_those()])
                overlaps = iou_with_each(np.array(box, np.float32), candidates[:, 1:])
            ious.append(overlaps.max())
            apart.append(abs(candidates[overlaps.argmax(), 0] - score))
    assert min(ious) > LEAST_IOU and np.mean(ious) > LEAST_MEAN_IOU, ious
    assert max(apart) < SCORE and np.mean(apart) < MEAN_SCORE, apart
