"""Which anchor learns which true box, a face's: what both assigners of PP-YOLOE+ share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import paddle

if TYPE_CHECKING:
    from training.losses.targets import Targets


class Assignment(NamedTuple):
    """The learning target of every anchor.

    Attributes:
        is_face: bool [N, A]; where False, box and class mean nothing and the score is 0.
        boxes_xyxy_px: float32 [N, A, 4] in pixels of the network's input.
        class_ids: int64 [N, A].
        scores: float32 [N, A] in 0..1, what the predicted score of the class should be.
    """

    is_face: paddle.Tensor
    boxes_xyxy_px: paddle.Tensor
    class_ids: paddle.Tensor
    scores: paddle.Tensor


def mark(indices: paddle.Tensor, length: int) -> paddle.Tensor:
    """Bool [N, G, length], True at the `indices` [N, G, K] of each row."""
    marks = paddle.zeros([*indices.shape[:2], length])
    return paddle.put_along_axis(marks, indices, paddle.ones(indices.shape), axis=-1) > 0


def one_face_per_anchor(candidates: paddle.Tensor, ious: paddle.Tensor) -> paddle.Tensor:
    """Give an anchor claimed by several faces to the face of highest IoU, whether that claimed it or not.

    Args:
        candidates: bool [N, G, A], the anchors that each face claims.
        ious: float32 [N, G, A].
    """
    faces = candidates.shape[1]
    best = ious.argmax(axis=1, keepdim=True) == paddle.arange(faces).reshape([1, faces, 1])
    several = candidates.astype("int32").sum(axis=1, keepdim=True) > 1  # [N, 1, A]
    return paddle.where(several, best, candidates)


def assignment_of(assigned: paddle.Tensor, targets: Targets, scores: paddle.Tensor) -> Assignment:
    """The assignment that bool [N, G, A] says, with the scores to learn, [N, A]."""
    images, faces, anchors = assigned.shape
    index = assigned.astype("int32").argmax(axis=1) + paddle.arange(images).unsqueeze(1) * faces  # [N, A]
    boxes = paddle.gather(targets.boxes_xyxy_px.reshape([-1, 4]), index.flatten()).reshape([images, anchors, 4])
    class_ids = paddle.gather(targets.labels.flatten(), index.flatten()).reshape([images, anchors])
    return Assignment(assigned.any(axis=1), boxes, class_ids.clip(min=0), scores)
