"""Triton's `onnxruntime` backend in Python, for servers that lack the native one.

It serves every model whose configuration says `backend: "onnxruntime"`, reads the same files and the same
thread parameters as the native backend, and steps aside where that one is installed. CPU only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance of one ONNX model."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Nothing to add: the configurations of this repository are complete."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        file_name = config.get("default_model_filename") or "model.onnx"
        model_path = Path(args["model_repository"], args["model_version"], file_name)
        if not model_path.is_file():
            raise pb_utils.TritonModelException(
                f"no file {file_name!r} in version {args['model_version']} of the model"
            )
        self.session = onnxruntime.InferenceSession(
            str(model_path), session_options(config["parameters"]), providers=["CPUExecutionProvider"]
        )
        self.inputs = [item["name"] for item in config["input"]]
        self.outputs = [item["name"] for item in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        """One image after the other: on a CPU a batch is no faster, and its activations outgrow the caches."""
        batch = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
        try:
            rows = [
                self.session.run(self.outputs, {name: array[i : i + 1] for name, array in zip(self.inputs, batch)})
                for i in range(len(batch[0]))
            ]
        except onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error).splitlines()[0]))
        columns = rows[0] if len(rows) == 1 else [np.concatenate(column) for column in zip(*rows)]
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, columns)])


def session_options(parameters: dict[str, Any]) -> onnxruntime.SessionOptions:
    """Session options from the native backend's parameters; waiting threads do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", {}).get("string_value", 0))
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", {}).get("string_value", 0))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    return options
