from __future__ import annotations

import numpy as np
import paddle
import pytest

from training.engine.ema import ExponentialMovingAverage


@pytest.fixture
def network() -> paddle.nn.Layer:
    return paddle.nn.Sequential(paddle.nn.Linear(1, 1), paddle.nn.BatchNorm2D(1))


def fill(network: paddle.nn.Layer, value: float) -> None:
    network.set_state_dict({name: np.full(t.shape, value, np.float32) for name, t in network.state_dict().items()})


def test_no_update(network: paddle.nn.Layer) -> None:
    average = ExponentialMovingAverage(network, 0.9)
    assert average.updates == 0
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(average.arrays()[name], value.numpy())


def test_the_decay_grows_to_its_limit(network: paddle.nn.Layer) -> None:
    fill(network, 0.0)
    average, expected = ExponentialMovingAverage(network, 0.5), 0.0
    for step in range(20):
        fill(network, float(step))
        average.update(network)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.updates == 20
    assert {name: float(array.ravel()[0]) for name, array in average.arrays().items()} == pytest.approx(
        dict.fromkeys(network.state_dict(), expected), rel=1e-5
    )


def test_constants_stay_exactly_what_they_are(network: paddle.nn.Layer) -> None:
    fill(network, 0.1)
    average = ExponentialMovingAverage(network, 0.9998)
    for _ in range(50):
        average.update(network)
    assert {float(array.ravel()[0]) for array in average.arrays().values()} == {float(np.float32(0.1))}


@pytest.mark.parametrize(("epoch", "updates", "value"), [(19, 3, 1.0), (20, 0, 5.0), (40, 0, 5.0)])
def test_a_cycle_ends(network: paddle.nn.Layer, epoch: int, updates: int, value: float) -> None:
    fill(network, 1.0)
    average = ExponentialMovingAverage(network, 0.9998, cycle_epochs=20)
    for _ in range(3):
        average.update(network)
    fill(network, 5.0)
    average.end_epoch(epoch, network)
    assert average.updates == updates
    assert {float(array.ravel()[0]) for array in average.arrays().values()} == {value}
    fill(network, 7.0)
    assert {float(array.ravel()[0]) for array in average.arrays().values()} == {value}  # no view of the weights
