"""Whether the weights in a network's file are numbers; a training that diverged leaves others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from tritonface_server.errors import CommandError

REMEDY = "the training diverged or a checkpoint is damaged: export an earlier checkpoint"


class NetworkFileError(CommandError):
    """A network that nobody should serve; the message says why."""


def check_weights(file: Path) -> None:
    """NetworkFileError unless an ONNX or OpenVINO file can be read and holds no NaN and no infinite constant."""
    try:
        operations = openvino.Core().read_model(file).get_ops()
    except RuntimeError as error:
        raise NetworkFileError(f"{file} is no network: {' '.join(str(error).split())[:200]}") from error
    constants = [
        each for each in operations if each.get_type_name() == "Constant" and each.get_element_type().is_real()
    ]
    for constant in constants:
        values = np.asarray(constant.data, np.float32)
        bad = values.size - np.count_nonzero(np.isfinite(values))
        if bad:
            name = constant.get_friendly_name()
            raise NetworkFileError(f"{file}: {bad} of {values.size} values of {name!r} are not finite; {REMEDY}")
