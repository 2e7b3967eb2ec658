"""Settings of a step, written by `tritonface_server.configs` into `config.pbtxt` and read back by the step."""

from __future__ import annotations

import json
from typing import Any


def read_parameters(model_config_json: str) -> dict[str, Any]:
    """The `parameters` of a Triton model configuration whose values are JSON."""
    parameters = json.loads(model_config_json)["parameters"]
    return {key: json.loads(value["string_value"]) for key, value in parameters.items()}
