"""First step: encoded images in, stretched uint8 BGR pictures and their sizes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from serving.images import ImageError, decode_image, limit_threads, resize
from serving.steps.parameters import read_parameters


class TritonPythonModel:
    """Triton's interface; one request holds one or several images.

    A bad image alone in its request is refused with INVALID_ARGUMENT. Among others it leaves them intact:
    its row of `error` says what is wrong, and its sizes are zero, so that no face comes out of it.
    """

    def initialize(self, args: dict[str, str]) -> None:
        parameters = read_parameters(args["model_config"])
        self.input_size_wh = tuple(parameters["input_size_wh"])
        self.interpolation = parameters["interpolation"]
        limit_threads(1)  # Triton runs several instances; their threads must not fight for the cores

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        encoded_images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()[:, 0]
        width, height = self.input_size_wh
        count = len(encoded_images)
        pictures = np.zeros((count, height, width, 3), np.uint8)
        sizes_wh = np.zeros((count, 2, 2), np.int32)
        errors = np.full((count, 1), b"", object)
        for i, encoded in enumerate(encoded_images):
            try:
                original = decode_image(encoded)
            except ImageError as error:
                if count == 1:
                    return _refusal(error)
                errors[i, 0] = str(error).encode()
                continue
            pictures[i] = resize(original, self.input_size_wh, self.interpolation)
            sizes_wh[i] = original.shape[1::-1], self.input_size_wh
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("picture", pictures),
                pb_utils.Tensor("sizes_wh", sizes_wh),
                pb_utils.Tensor("error", errors),
            ]
        )


def _refusal(error: ImageError) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
