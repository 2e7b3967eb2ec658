"""The Triton model: a serial loop over requests, errors inside successful replies, no batching, no warm-up."""

from __future__ import annotations

import base64
import json
import sys
import uuid
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Triton's interface."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the same network in the same runtime as the detector that it is compared with."""
        parameters = {
            key: value["string_value"] for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        sys.path.insert(0, parameters["project"])

        from perf.peers.in_process import open_detector

        self.detector = open_detector(parameters["detector"], parameters["variant"], int(parameters["threads"]))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Triton calls this for every batch of requests."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        text = pb_utils.get_input_tensor_by_name(request, "input").as_numpy().reshape(-1)[0]
        reply: dict[str, Any] = {"logId": str(uuid.uuid4()), "errorCode": 0, "errorMsg": "Success"}
        try:
            reply["result"] = {"detectedObjects": self._objects(base64.b64decode(json.loads(text)["image"]))}
        except (ValueError, KeyError) as error:
            reply |= {"errorCode": 422, "errorMsg": str(error)}
        output = np.array([[json.dumps(reply).encode()]], object)
        return pb_utils.InferenceResponse([pb_utils.Tensor("output", output)])

    def _objects(self, encoded: bytes) -> list[dict[str, Any]]:
        found = self.detector(encoded)
        return [
            {"bbox": box, "categoryId": 0, "categoryName": "face", "score": score}
            for box, score in zip(found.boxes_xyxy_px.tolist(), found.scores.tolist())
        ]
