"""The optimiser of a training, and its state under the names of the weights."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn

from training.config import Train
from training.weights import WeightsError

NORMS = (nn.BatchNorm2D, nn.SyncBatchNorm)
FROZEN_BELOW = 16
"""Pictures of a step on one device. The statistics of fewer are too noisy to replace those that given weights bring."""
OPTIMISERS = {"momentum": paddle.optimizer.Momentum, "rmsprop": paddle.optimizer.RMSProp}
STATE_KINDS = {
    "momentum": {"velocity_0"},
    "rmsprop": {"momentum_0", "mean_square_0", "mean_grad_0"},
    "adamw": {"moment1_0", "moment2_0", "beta1_pow_acc_0", "beta2_pow_acc_0"},
}
"""What each remembers of a weight, as Paddle names it."""
POWERS = {"beta1_pow_acc_0", "beta2_pow_acc_0"}
"""One number for each weight; everything else has the weight's shape."""


def build_optimiser(network: nn.Layer, train: Train) -> paddle.optimizer.Optimizer:
    """Momentum or RMSProp with L2 decay, or AdamW; the learning rate is set before each step.

    Parameters whose layer says so learn at a fraction of the rate (`ParamAttr(learning_rate=...)`), or without decay.
    """
    if not train.decay_norm:  # not by parameter groups: Paddle's overwrite the layers' own learning rates
        for layer in network.sublayers():
            if isinstance(layer, NORMS):
                layer.weight.regularizer = layer.bias.regularizer = paddle.regularizer.L2Decay(0.0)
    parameters = [parameter for parameter in network.parameters() if not parameter.stop_gradient]
    rate_and_decay = {"learning_rate": train.learning_rate, "weight_decay": train.weight_decay}
    if train.optimizer != "adamw":
        return OPTIMISERS[train.optimizer](parameters=parameters, momentum=train.momentum, **rate_and_decay)
    decayed = {parameter.name for parameter in parameters if parameter.regularizer is None}
    return paddle.optimizer.AdamW(
        parameters=parameters, beta1=train.momentum, apply_decay_param_fun=decayed.__contains__, **rate_and_decay
    )


def freezes_norms(train: Train, pretrained: bool) -> bool:
    """Whether batch normalisation keeps its statistics: as set, else if given weights are trained in small batches."""
    return pretrained and train.batch_size < FROZEN_BELOW if train.freeze_norm is None else train.freeze_norm


def freeze_norms(network: nn.Layer) -> None:
    """Let batch normalisation use its statistics instead of the batch's, and keep them; its scales still learn."""
    for layer in network.sublayers():
        if isinstance(layer, NORMS):
            layer.eval()


def optimiser_arrays(optimiser: paddle.optimizer.Optimizer, network: nn.Layer) -> dict[str, np.ndarray]:
    """The state as `{"<name of the weight>/<what it is>": array}`.

    Paddle's own names count the layers made in a process, so that another process may not find its state again.
    """
    state = {name: value for name, value in optimiser.state_dict().items() if isinstance(value, paddle.Tensor)}
    names = {parameter.name: name for name, parameter in network.named_parameters()}
    return {_structured(name, names): value.numpy() for name, value in state.items()}


def set_optimiser_arrays(
    optimiser: paddle.optimizer.Optimizer, network: nn.Layer, arrays: dict[str, np.ndarray], name: str
) -> None:
    """Restore what `optimiser_arrays` gave after a step.

    Args:
        name: of the optimiser, a key of `STATE_KINDS`.

    Raises:
        WeightsError: the state is that of another network or optimiser, or there is none.
    """
    kinds = {key.rpartition("/")[2] for key in arrays}
    if kinds != STATE_KINDS[name]:
        found = next((known for known, theirs in STATE_KINDS.items() if theirs == kinds), None)
        state = f"it is that of {found}: set Train.optimizer={found}" if found else "it is empty or of another kind"
        raise WeightsError(
            f"the optimiser's state is not that of {name}; {state}, or begin anew with Train.pretrain_weight_path"
        )
    parameters = dict(network.named_parameters())
    state = {}
    for key, array in arrays.items():
        weight, _, kind = key.rpartition("/")
        if weight not in parameters or list(array.shape) != ([1] if kind in POWERS else parameters[weight].shape):
            raise WeightsError(f"the optimiser's state {key!r} belongs to another network")
        state[f"{parameters[weight].name}_{kind}"] = paddle.to_tensor(array)
    optimiser.set_state_dict(state)


def _structured(state_name: str, names: dict[str, str]) -> str:
    for own_name, name in names.items():
        if state_name.startswith(f"{own_name}_"):
            return f"{name}/{state_name[len(own_name) + 1 :]}"
    raise WeightsError(f"the optimiser's state {state_name!r} belongs to no weight of the network")
