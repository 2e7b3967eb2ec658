from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from training.config import Train, load_config
from training.detectors import build_detector
from training.engine.optimiser import (
    NORMS,
    build_optimiser,
    freeze_norms,
    freezes_norms,
    optimiser_arrays,
    set_optimiser_arrays,
)
from training.weights import WeightsError

MODELS = ("BlazeFace", "PP-YOLOE_plus-S_face")
RECIPES = pytest.mark.parametrize("recipe", ["reference", "crowds"])


def train_of(model: str, recipe: str = "reference") -> Train:
    return load_config(Path("training/configs") / f"{model}.yaml", [f"Train.recipe={recipe}"]).Train


def step(network: paddle.nn.Layer, optimiser: paddle.optimizer.Optimizer, scale: float, rate: float) -> None:
    """One step whose gradient is `scale` for every number."""
    sum((p * scale).sum() for p in network.parameters() if not p.stop_gradient).backward()
    optimiser.set_lr(rate)
    optimiser.step()
    optimiser.clear_grad()


@RECIPES
@pytest.mark.parametrize("model", MODELS)
def test_no_step_no_state(model: str, recipe: str) -> None:
    network = build_detector(model)
    assert optimiser_arrays(build_optimiser(network, train_of(model, recipe)), network) == {}


@RECIPES
def test_layers_keep_their_own_learning_rates(recipe: str) -> None:
    network = build_detector("BlazeFace")
    build_optimiser(network, train_of("BlazeFace", recipe))
    rates = {name: p.optimize_attr["learning_rate"] for name, p in network.named_parameters()}
    assert rates["backbone.conv1._conv.weight"] == pytest.approx(0.1)
    assert rates["blaze_head.boxes0.weight"] == 1.0


def test_weight_decay_spares_batch_normalisation() -> None:
    network = build_detector("PP-YOLOE_plus-S_face")
    norm = next(layer for layer in network.sublayers() if isinstance(layer, NORMS))
    convolution, frozen = network.backbone.stem.conv1.conv.weight, network.yolo_head.proj_conv.weight
    before = [value.numpy().copy() for value in (norm.weight, convolution, frozen)]
    step(network, build_optimiser(network, train_of("PP-YOLOE_plus-S_face")), scale=0.0, rate=1.0)
    after = [value.numpy() for value in (norm.weight, convolution, frozen)]
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose(after[1], before[1] * (1 - 0.0005), rtol=1e-6)
    np.testing.assert_array_equal(after[2], before[2])


def test_adamw_decays_apart_from_the_gradient_and_heeds_the_layers_rates() -> None:
    """Decay 0.03 at a rate of 1, a tenth of it in the backbone; a step is the rate, whatever the gradient's size."""
    network = build_detector("BlazeFace")
    norm = next(layer for layer in network.sublayers() if isinstance(layer, NORMS))
    weights = [norm.weight, network.backbone.conv1._conv.weight, network.blaze_head.boxes0.weight]
    before = [value.numpy().copy() for value in weights]
    optimiser = build_optimiser(network, train_of("BlazeFace", "crowds"))
    step(network, optimiser, scale=0.0, rate=1.0)
    decayed = [before[0], before[1] * (1 - 0.003), before[2] * (1 - 0.03)]
    for value, expected in zip(weights, decayed):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5)
    network = build_detector("BlazeFace")
    norm = next(layer for layer in network.sublayers() if isinstance(layer, NORMS))
    before_step = norm.weight.numpy().copy()
    step(network, build_optimiser(network, train_of("BlazeFace", "crowds")), scale=1e-3, rate=0.01)
    np.testing.assert_allclose(norm.weight.numpy(), before_step - 0.01, atol=1e-5)


@RECIPES
@pytest.mark.parametrize("model", MODELS)
def test_another_network_goes_on_as_the_first_would(model: str, recipe: str) -> None:
    train = train_of(model, recipe)
    networks = [build_detector(model) for _ in range(2)]
    optimisers = [build_optimiser(network, train) for network in networks]
    step(networks[0], optimisers[0], scale=0.5, rate=0.1)
    networks[1].set_state_dict(networks[0].state_dict())
    arrays = optimiser_arrays(optimisers[0], networks[0])
    set_optimiser_arrays(optimisers[1], networks[1], arrays, train.optimizer)
    for network, optimiser in zip(networks, optimisers):
        step(network, optimiser, scale=-0.25, rate=0.01)
    weights = [{name: value.numpy() for name, value in network.state_dict().items()} for network in networks]
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])


VELOCITY = "backbone.conv1._conv.weight/velocity_0"


@pytest.mark.fault("B20")
@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("momentum", {}, "is not that of momentum; it is empty or of another kind"),
        ("rmsprop", {VELOCITY: np.zeros(1)}, "is not that of rmsprop; it is that of momentum: set Train.optimizer=mom"),
        ("momentum", {"neck.weight/velocity_0": np.zeros(1)}, r"'neck\.weight/velocity_0' belongs to another network"),
        (
            "adamw",
            {VELOCITY: np.zeros(1)},
            "is not that of adamw; it is that of momentum: set Train.optimizer=mom",
        ),
        ("momentum", {VELOCITY: np.zeros(1)}, "velocity_0' belongs to another network"),
    ],
    ids=["empty", "another optimiser", "another network", "not AdamW", "another shape"],
)
def test_the_state_of_something_else_is_refused(name: str, arrays: dict[str, np.ndarray], message: str) -> None:
    network = build_detector("BlazeFace")
    optimiser = build_optimiser(network, train_of("BlazeFace").model_copy(update={"optimizer": name}))
    with pytest.raises(WeightsError, match=message):
        set_optimiser_arrays(optimiser, network, arrays, name)


@pytest.mark.parametrize(
    ("freeze_norm", "pretrained", "batch_size", "frozen"),
    [
        (None, False, 4, False),  # random weights have no statistics to keep
        (None, True, 15, True),
        (None, True, 16, False),
        (False, True, 4, False),
        (True, False, 64, True),
    ],
)
def test_whose_statistics_are_frozen(freeze_norm: bool | None, pretrained: bool, batch_size: int, frozen: bool) -> None:
    train = train_of("BlazeFace").model_copy(update={"freeze_norm": freeze_norm, "batch_size": batch_size})
    assert freezes_norms(train, pretrained) is frozen


def test_frozen_statistics() -> None:
    network = build_detector("BlazeFace")
    statistics = {name: value.numpy().copy() for name, value in network.state_dict().items() if name.endswith("_mean")}
    network.train()
    freeze_norms(network)
    network.outputs(paddle.rand([1, 3, 64, 64]))[0].sum().backward()
    assert statistics
    for name, value in statistics.items():
        np.testing.assert_array_equal(network.state_dict()[name].numpy(), value)
    assert all(layer.weight.grad is not None for layer in network.sublayers() if isinstance(layer, NORMS))
