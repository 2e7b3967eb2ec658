"""Where nothing is to be learnt, anchors without a face add nothing to the loss; those with one are as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from training.config import Train, load_config
from training.detectors import DETECTORS, get_detector
from training.engine.training_step import TrainingStep, loss_of_epoch
from training.losses import Loss, Targets
from training.losses.ssd import hard_negatives
from training.paths import ROOT

SIDE_PX = 64
FACE = np.array([[8, 8, 40, 44]], np.float32)
NO_FACE = np.empty((0, 4), np.float32)
CASES = [(name, recipe) for name in DETECTORS for recipe in ("reference", "crowds")]
every_loss = pytest.mark.parametrize(("name", "recipe"), CASES)


def train_of(name: str, recipe: str) -> Train:
    return load_config(ROOT / f"training/configs/{name}.yaml", [f"Train.recipe={recipe}"]).Train


def loss_of(name: str, recipe: str) -> Loss:
    return loss_of_epoch(get_detector(name), train_of(name, recipe), 10**6)


def outputs_of(name: str) -> Any:
    paddle.seed(0)
    network = get_detector(name).build_network()
    network.train()
    return network.outputs(paddle.rand([2, 3, SIDE_PX, SIDE_PX]))


def targets(ignored: np.ndarray | None, faces: tuple[np.ndarray, np.ndarray] = (FACE, NO_FACE)) -> Targets:
    plain = Targets.of_faces(faces, (SIDE_PX, SIDE_PX))
    return plain if ignored is None else plain._replace(ignored=paddle.to_tensor(ignored))


def region(*images: int) -> np.ndarray:
    """The right half of these images."""
    mask = np.zeros((2, SIDE_PX, SIDE_PX), bool)
    mask[list(images), :, SIDE_PX // 2 :] = True
    return mask


def gradients(name: str, recipe: str, wanted: Targets) -> tuple[np.ndarray, dict[str, float]]:
    """Of the scores, [N, A], and the losses."""
    outputs = outputs_of(name)
    field = next(key for key in ("logits", "class_logits", "scores") if key in outputs._fields)
    scores = getattr(outputs, field).detach()
    scores.stop_gradient = False
    losses = loss_of(name, recipe)(outputs._replace(**{field: scores}), wanted)
    losses["loss"].backward()
    gradient = scores.grad.numpy()
    found = np.abs(gradient).sum(axis=-1) if gradient.ndim == 3 else np.abs(gradient)
    return found, {key: float(value) for key, value in losses.items()}


def points_of(name: str) -> np.ndarray:
    outputs = outputs_of(name)
    if "priors_cxcywh_px" in outputs._fields:
        return outputs.priors_cxcywh_px[:, :2].numpy()
    return getattr(outputs, "centres_xy_px", getattr(outputs, "points_xy_px", None)).numpy()


@every_loss
def test_a_region_of_nothing_changes_nothing(name: str, recipe: str) -> None:
    plain, losses = gradients(name, recipe, targets(None))
    empty, same = gradients(name, recipe, targets(region()))
    np.testing.assert_array_equal(plain, empty)
    assert losses == same


@every_loss
def test_anchors_inside_without_a_face_learn_nothing(name: str, recipe: str) -> None:
    """In the second image, which has no face, and beside the face of the first."""
    inside = points_of(name)[:, 0] >= SIDE_PX // 2
    before, losses = gradients(name, recipe, targets(None))
    after, with_region = gradients(name, recipe, targets(region(1)))
    assert inside.any() and before[1][inside].any()
    assert not after[1][inside].any()
    if "BlazeFace" not in name:  # there other negatives take the places of those that are ignored
        np.testing.assert_allclose(after[1][~inside], before[1][~inside], rtol=1e-5)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5)
    assert with_region["loss"] < losses["loss"]


@every_loss
def test_anchors_inside_with_a_face_learn_as_before(name: str, recipe: str) -> None:
    everywhere = np.ones((2, SIDE_PX, SIDE_PX), bool)
    after, losses = gradients(name, recipe, targets(everywhere))
    before, _ = gradients(name, recipe, targets(None))
    learning = after > 0
    assert learning[0].any() and not learning[1].any()
    assert losses["loss"] > 0
    np.testing.assert_allclose(after[learning], before[learning], rtol=1e-5)


@every_loss
def test_all_of_a_batch_without_faces_ignored(name: str, recipe: str) -> None:
    everywhere = np.ones((2, SIDE_PX, SIDE_PX), bool)
    after, losses = gradients(name, recipe, targets(everywhere, (NO_FACE, NO_FACE)))
    assert not after.any() and losses["loss"] == 0


def test_hard_negatives_come_from_elsewhere() -> None:
    losses = paddle.to_tensor([[1.0, 5.0, 4.0, 3.0, 2.0, 0.5]])
    positive = paddle.to_tensor([[True, False, False, False, False, False]])
    ignored = paddle.to_tensor([[True, True, False, False, False, False]])
    assert hard_negatives(losses, positive).numpy().tolist() == [[False, True, True, True, False, False]]
    assert hard_negatives(losses, positive, ignored).numpy().tolist() == [[False, False, True, True, True, False]]
    few = paddle.to_tensor([[True, True, True, True, True, False]])
    assert hard_negatives(losses, positive, few).numpy().tolist() == [[False] * 5 + [True]]


def test_points_are_looked_up_by_pixel() -> None:
    mask = np.zeros((1, 4, 6), bool)
    mask[0, 1:3, 2:5] = True
    points = paddle.to_tensor([[2.0, 1.0], [4.9, 2.9], [5.0, 2.0], [1.9, 1.0], [3.0, 3.0], [9.0, 9.0], [-1.0, 1.0]])
    faces = Targets.of_faces([NO_FACE], (6, 4))
    assert faces.ignored_at(points) is None
    found = faces._replace(ignored=paddle.to_tensor(mask)).ignored_at(points)
    assert found.numpy().tolist() == [[True, True, False, False, False, False, False]]


def test_a_training_step_hands_the_regions_on() -> None:
    detector, train = get_detector("BlazeFace"), train_of("BlazeFace", "crowds")
    step = TrainingStep(detector.build_network(), detector, loss_of_epoch(detector, train, 0))
    pictures = paddle.zeros([1, SIDE_PX, SIDE_PX, 3], "uint8")
    faces = Targets.of_faces([NO_FACE], (SIDE_PX, SIDE_PX))
    given = pictures, faces.boxes_xyxy_px, faces.labels
    everywhere = paddle.ones([1, SIDE_PX, SIDE_PX], "bool")
    assert float(step(*given)["loss"]) > 0 == float(step(*given, everywhere)["loss"])
