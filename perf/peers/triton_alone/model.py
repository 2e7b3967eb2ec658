"""The Triton model: the same answer to every request, after a while."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Triton's interface."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the answer; texts are stored as bytes of one length."""
        self.busy_s = float(json.loads(args["model_config"])["parameters"]["busy_ms"]["string_value"]) / 1e3
        with np.load(Path(args["model_repository"], args["model_version"], "answer.npz")) as file:
            arrays = {name: file[name] for name in file.files}
        self.answer = {
            name: array.astype(object) if array.dtype.kind == "S" else array for name, array in arrays.items()
        }

    def execute(self, requests: list[Any]) -> list[Any]:
        """Triton calls this for every batch of requests."""
        return [self._respond() for _ in requests]

    def _respond(self) -> Any:
        end_s = time.perf_counter() + self.busy_s
        while time.perf_counter() < end_s:
            pass
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in self.answer.items()])
