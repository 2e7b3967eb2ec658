"""Whether two variants of a trained network find the same faces in a photo, within what a lower precision changes.

Measured with all four detectors on the demo photos at the sizes of L0_hpi against ONNX Runtime in float32, OpenVINO in
bfloat16 with the kernels for AVX512_BF16 and in float32 with those for AVX-512:

|             | worst face                | mean                        |
|-------------|---------------------------|-----------------------------|
| bfloat16    | IoU .545, score .011 away | IoU .9773, score .0042 away |
| float32     | IoU 1.000, score .000     | IoU 1.0000, score .0000     |
| allowed     | IoU .5, score .08         | IoU .94, score .03          |

The worst is one face that BlazeFace has two boxes for, their scores .003 apart: the better one suppresses the other.
Other kernels may have such ties elsewhere; the mean has room for three of them.
"""

from __future__ import annotations

import numpy as np

from tests.reference import iou_with_each

LEAST_IOU, LEAST_MEAN_IOU = 0.5, 0.94
SCORE, MEAN_SCORE = 0.08, 0.03


def rows_of(boxes: list[dict]) -> np.ndarray:
    """The boxes of a result as rows of [score, xmin, ymin, xmax, ymax], [K, 5]."""
    return np.array([[box["score"], *box["coordinate"]] for box in boxes], np.float32).reshape(-1, 5)


def assert_alike(one: np.ndarray, other: np.ndarray, threshold: float) -> None:
    """Every face of one clearly above the threshold both were asked with has its like in the other, and vice versa."""
    ious, apart = [], []
    for these, those in ((one, other), (other, one)):
        clear = these[these[:, 0] > threshold + SCORE]
        assert len(clear) and len(those)
        for score, *box in clear:
            overlaps = iou_with_each(np.array(box, np.float32), those[:, 1:])
            ious.append(overlaps.max())
            apart.append(abs(those[overlaps.argmax(), 0] - score))
    assert min(ious) > LEAST_IOU and np.mean(ious) > LEAST_MEAN_IOU, ious
    assert max(apart) < SCORE and np.mean(apart) < MEAN_SCORE, apart
