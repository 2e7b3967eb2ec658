"""What the python-based network backends share: the tensors of a request through a network, image by image."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tritonface_server.limits import MAX_NETWORK_SIDE_PX, MIN_NETWORK_SIDE_PX
from tritonface_server.runtimes import Run
from tritonface_server.steps.answers import DECLINED, FailedError, RequestError, check_awaited, check_bytes
from tritonface_server.steps.report import StepReport

NICENESS = 5
"""Networks give way to the short steps around them: measured at saturation, 1 to 5 % more images per second."""


class NetworkBackend:
    """Triton's interface of a python-based backend; a subclass says how to load a network.

    One image after the other: on a CPU a batch is no faster, and its activations outgrow the caches.
    """

    default_file_name: str
    run_errors: tuple[type[Exception], ...]

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Nothing to add: the configurations of this repository are complete."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Triton calls this once for each instance."""
        os.nice(NICENESS)  # before the runtime starts threads, which inherit it
        config = json.loads(args["model_config"])
        file_name = config.get("default_model_filename") or self.default_file_name
        model_file = Path(args["model_repository"], args["model_version"], file_name)
        if not model_file.is_file():
            raise pb_utils.TritonModelException(
                f"no file {file_name!r} in version {args['model_version']} of the model"
            )
        self.inputs = [item["name"] for item in config["input"]]
        self.outputs = [item["name"] for item in config["output"]]
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.run = self.load(model_file, parameters, sum(group["count"] for group in config["instance_group"]))
        batch_axis = [1] if config["max_batch_size"] else []  # otherwise it is written in the shapes
        for sample in config.get("model_warmup", []):
            self._try_out(sample["inputs"], config["output"], batch_axis)
        self.report = StepReport(args["model_name"])

    def finalize(self) -> None:
        """Triton calls this when the model is unloaded."""
        self.report.close()

    def load(self, model_file: Path, parameters: dict[str, str], instances: int) -> Run:
        """A function from one image's inputs by name to its outputs in the order of `self.outputs`.

        Args:
            instances: how many processes like this one run the model.
        """
        raise NotImplementedError

    def _try_out(self, inputs: dict[str, dict], outputs: list[dict], batch_axis: list[int]) -> None:
        """Run an image of the warm-up: a network that fails here is refused, one that fails there can crash Triton.

        Raises:
            TritonModelException: an output is not what the configuration promises.
        """
        feeds = {
            name: np.zeros([*batch_axis, *map(int, tensor["dims"])], numpy_type(tensor["data_type"]))
            for name, tensor in inputs.items()
        }
        for array, output in zip(self.run(feeds), outputs):
            promised = (len(batch_axis) + len(output["dims"]), numpy_type(output["data_type"]))
            if (array.ndim, array.dtype) != promised:
                raise pb_utils.TritonModelException(
                    f"output {output['name']!r} of the network has {array.ndim} dimensions of {array.dtype},"
                    f" where the configuration promises {promised[0]} of {promised[1]}"
                )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Triton calls this for every batch of requests."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        batch = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        try:
            for name, array in batch.items():
                _check_size(name, array)
            rows = list(self._rows(request, batch))
        except DECLINED as error:
            return self.report.declined(request, error)
        except self.run_errors as error:
            return self.report.declined(request, FailedError(str(error).splitlines()[0]))
        count = len(rows)
        columns = rows[0] if count == 1 else [np.concatenate(column) for column in zip(*rows)]
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, columns)])

    def _rows(self, request: Any, batch: dict[str, np.ndarray]) -> Iterator[list[np.ndarray]]:
        """The outputs for one image after the other, as long as somebody waits for them."""
        for i in range(len(next(iter(batch.values())))):
            check_awaited(request)
            with self.report.stage("network"):
                row = self.run({name: array[i : i + 1] for name, array in batch.items()})
            yield row


def _check_size(name: str, pictures: np.ndarray) -> None:
    """RequestError for pictures, [N, height, width, channels], that preprocessing would not make."""
    check_bytes(pictures.nbytes, name)
    for side_px in pictures.shape[1:-1]:
        if not MIN_NETWORK_SIDE_PX <= side_px <= MAX_NETWORK_SIDE_PX:
            raise RequestError(
                f"{name} has the shape {list(pictures.shape)}; a picture's sides are from {MIN_NETWORK_SIDE_PX} to "
                f"{MAX_NETWORK_SIDE_PX} px"
            )


def numpy_type(triton_type: str) -> np.dtype:
    """The numpy type of a configuration's data type, "TYPE_FP32" for example."""
    return np.dtype(pb_utils.triton_string_to_numpy(triton_type))
