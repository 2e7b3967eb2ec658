"""First step: encoded images in, stretched uint8 BGR pictures and their sizes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tritonface_server.image_file import CUT_OFF
from tritonface_server.images import (
    IMAGE_REFUSED,
    ImageError,
    SizeError,
    check_network_size,
    decode,
    limit_threads,
    open_image,
    resize,
)
from tritonface_server.steps.parameters import read_parameters


class TritonPythonModel:
    """Triton's interface; one request holds one or several images, all for one network input size.

    A bad image alone in its request is refused with INVALID_ARGUMENT, as a wrong request is. Among others it leaves
    them intact: its row of `error` says what is wrong, and its sizes are zero, so that no face comes out of it.
    One that is cut off is told in `warning`, or refused where `strict` is set.
    """

    def initialize(self, args: dict[str, str]) -> None:
        parameters = read_parameters(args["model_config"])
        self.input_size_wh = tuple(parameters["input_size_wh"])
        self.size_multiple = parameters["size_multiple"]
        self.interpolation = parameters["interpolation"]
        self.scaled_decoding = parameters.get("scaled_decoding", False)
        limit_threads(1)  # Triton runs several instances; their threads must not fight for the cores

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        try:
            size_wh = self._network_size_wh(request)
            encoded_images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()[:, 0]
            strict = pb_utils.get_input_tensor_by_name(request, "strict")
            return self._prepare(
                encoded_images,
                np.zeros(len(encoded_images), bool) if strict is None else strict.as_numpy()[:, 0],
                size_wh,
            )
        except ImageError as error:
            return _refused(f"{IMAGE_REFUSED}{error}")
        except SizeError as error:
            return _refused(str(error))

    def _network_size_wh(self, request: Any) -> tuple[int, int]:
        tensor = pb_utils.get_input_tensor_by_name(request, "img_size")
        if tensor is None:
            return self.input_size_wh
        sizes_wh = {tuple(size_wh) for size_wh in tensor.as_numpy().tolist()}
        if len(sizes_wh) > 1:
            raise SizeError(
                f"the images of one request need one img_size, got {sorted(sizes_wh)}; send several requests"
            )
        (size_wh,) = sizes_wh
        check_network_size(size_wh, self.size_multiple)
        return size_wh

    def _prepare(self, encoded_images: np.ndarray, strict: np.ndarray, size_wh: tuple[int, int]) -> Any:
        count, (width, height) = len(encoded_images), size_wh
        pictures = np.empty((count, height, width, 3), np.uint8)
        sizes_wh = np.zeros((count, 2, 2), np.int32)
        errors, warnings = np.full((2, count, 1), b"", object)
        for i, encoded in enumerate(encoded_images):
            try:
                opened = open_image(encoded, strict[i])
                image = decode(opened, size_wh if self.scaled_decoding else None)
            except ImageError as error:
                if count == 1:
                    raise
                errors[i, 0] = str(error).encode()
                pictures[i] = 0
                continue
            resize(image, size_wh, self.interpolation, out=pictures[i])
            sizes_wh[i] = opened.header.upright_wh, size_wh
            if opened.header.cut_off:
                warnings[i, 0] = CUT_OFF.encode()
        tensors = {"picture": pictures, "sizes_wh": sizes_wh, "error": errors, "warning": warnings}
        return pb_utils.InferenceResponse([pb_utils.Tensor(*item) for item in tensors.items()])


def _refused(message: str) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
