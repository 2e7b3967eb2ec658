"""What the python-based network backends share: the tensors of a request through a network, image by image."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tritonface_server.admission import Ledger, server_name
from tritonface_server.idle import Idle
from tritonface_server.limits import MAX_NETWORK_SIDE_PX, MIN_NETWORK_SIDE_PX
from tritonface_server.memory import release_freed_memory
from tritonface_server.network_outline import LOAD_LATER, NetworkError, check_outline
from tritonface_server.patience import Patience
from tritonface_server.runtimes import Network
from tritonface_server.steps.answers import DECLINED, FailedError, RequestError, check_awaited, check_bytes
from tritonface_server.steps.report import StepReport

REST_AFTER_S = 5.0
"""After such a pause a network gives back what it needs to run, which is half of its memory; its next run takes 10 to
20 ms more."""
NICENESS = 5
"""Networks give way to the short steps around them: measured at saturation, 1 to 5 % more images per second."""


class NetworkBackend:
    """Triton's interface of a python-based backend; a subclass says how to load a network.

    One image after the other: on a CPU a batch is no faster, and its activations outgrow the caches.

    There is a copy for each core. A request that is alone on the server gets all cores, many get one each, as copies
    share them better than the threads of one copy do. A runtime fixes the threads of what it loads, so a copy that has
    the wrong form of the network for a while loads the other one instead.

    The launcher may name a repository whose networks wait until they are asked for: at the start their files are
    checked, and the runtime is not even imported. All others, those that clients send among them, are loaded and tried
    out at the start.
    """

    default_file_name: str
    threads_parameter: str
    """The native backend's name for the number of threads; a configuration without it leaves that to the runtime."""

    @property
    def run_errors(self) -> tuple[type[Exception], ...]:
        """What the runtime raises where a network cannot be run; asked for when something has been raised."""
        raise NotImplementedError

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Nothing to add: the configurations of this repository are complete."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Triton calls this once for each instance."""
        os.nice(NICENESS)  # before the runtime starts threads, which inherit it
        self.config = json.loads(args["model_config"])
        file_name = self.config.get("default_model_filename") or self.default_file_name
        self.model_file = Path(args["model_repository"], args["model_version"], file_name)
        if not self.model_file.is_file():
            raise pb_utils.TritonModelException(
                f"no file {file_name!r} in version {args['model_version']} of the model"
            )
        self.inputs = [item["name"] for item in self.config["input"]]
        self.outputs = [item["name"] for item in self.config["output"]]
        self.batch_axis = [1] if self.config["max_batch_size"] else []  # otherwise it is written in the shapes
        self.parameters = {key: value["string_value"] for key, value in self.config.get("parameters", {}).items()}
        self.copies = sum(group["count"] for group in self.config["instance_group"])
        self.most_cores = self.copies if self.threads_parameter in self.parameters else 1
        self.network: Network | None = None
        self.cores = 0  # of the copies that the network's threads work for, 0 without one
        self.patience = Patience()
        self.ledger = Ledger(server_name())
        self.idle = Idle(self._rest, REST_AFTER_S)
        self.warm_ups = 0
        if _may_wait(Path(args["model_repository"])):
            check_outline(self.model_file, self.outputs)
            self.warm_ups = len(self.config.get("model_warmup", []))
        else:
            self._load(self.most_cores)
        self.report = StepReport(args["model_name"])
        self.ledger.join(args["model_name"])

    def finalize(self) -> None:
        """Triton calls this when the model is unloaded."""
        self.report.close()
        self.ledger.close()

    def load(self, cores: int) -> Network:
        """What is in `self.model_file`, from one image's inputs by name to its outputs in the order of `self.outputs`.

        Args:
            cores: for how many of the copies its threads may work.
        """
        raise NotImplementedError

    def execute(self, requests: list[Any]) -> list[Any]:
        """Triton calls this for every batch of requests."""
        with self.ledger.working(len(requests)):
            return [self._respond(request) for request in requests]

    def _load(self, cores: int) -> Network:
        """Try the network out with the images of the warm-up, as one that fails in Triton's own can crash it.

        Raises:
            NetworkError: it cannot be loaded, or an output is not what the configuration promises.
        """
        network = self.load(cores)
        for sample in self.config.get("model_warmup", []):
            feeds = {
                name: np.zeros([*self.batch_axis, *map(int, tensor["dims"])], numpy_type(tensor["data_type"]))
                for name, tensor in sample["inputs"].items()
            }
            for array, output in zip(network(feeds), self.config["output"]):
                self._check_output(array, output)
        self.network, self.cores = network, cores
        release_freed_memory()  # what loading alone has needed, and the form before
        return network

    def _check_output(self, array: np.ndarray, output: dict[str, Any]) -> None:
        promised = (len(self.batch_axis) + len(output["dims"]), numpy_type(output["data_type"]))
        if (array.ndim, array.dtype) != promised:
            raise NetworkError(
                f"output {output['name']!r} of the network has {array.ndim} dimensions of {array.dtype},"
                f" where the configuration promises {promised[0]} of {promised[1]}"
            )

    def _network_for(self, cores: int) -> Network:
        """The network, loaded if it is not there yet, or has had threads for other than so many cores for a while.

        Raises:
            FailedError: it cannot be; the next request tries again.
        """
        if self.network is not None:
            if not self.patience.ends(suits=cores == self.cores):
                return self.network
            self.patience.changed()
        try:
            return self._load(cores)
        except Exception as error:  # runtimes have errors of many kinds
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            if self.network is None:
                raise FailedError(f"the network cannot be loaded: {reason}") from error
            pb_utils.Logger.log_warn(f"the network cannot be loaded for {cores} threads, and stays as it is: {reason}")
            return self.network
        finally:
            self.ledger.network_loaded()

    def _rest(self) -> None:
        self.patience.rest()
        if self.network is not None:
            self.network.rest()

    def _respond(self, request: Any) -> Any:
        batch = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        try:
            for name, array in batch.items():
                _check_size(name, array)
            rows = [self._nothing()] if self._is_warm_up(batch) else list(self._rows(request, batch))
        except (*DECLINED, FailedError) as error:
            return self.report.declined(request, error)
        except self.run_errors as error:
            return self.report.declined(request, FailedError(str(error).splitlines()[0]))
        count = len(rows)
        columns = rows[0] if count == 1 else [np.concatenate(column) for column in zip(*rows)]
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, columns)])

    def _rows(self, request: Any, batch: dict[str, np.ndarray]) -> Iterator[list[np.ndarray]]:
        """The outputs for one image after the other, as long as somebody waits for them."""
        for i in range(len(next(iter(batch.values())))):
            under_way = self.ledger.under_way().requests
            if i or under_way != 1:  # asking takes .1 ms; Triton has just looked at the only one
                check_awaited(request)
            network = self._network_for(self.most_cores if under_way <= 1 else 1)
            with self.idle.work(), self.report.stage("network"):
                row = network({name: array[i : i + 1] for name, array in batch.items()})
            yield row

    def _is_warm_up(self, batch: dict[str, np.ndarray]) -> bool:
        """Whether this comes from Triton at the start, for a network that shall wait: the first, and black pictures."""
        if self.warm_ups == 0:
            return False
        self.warm_ups -= 1
        return not any(array.any() for array in batch.values())

    def _nothing(self) -> list[np.ndarray]:
        """An answer to Triton's warm-up without the network."""
        shapes = [[max(int(side), 1) for side in output["dims"]] for output in self.config["output"]]
        kinds = [numpy_type(output["data_type"]) for output in self.config["output"]]
        return [np.zeros([*self.batch_axis, *shape], kind) for shape, kind in zip(shapes, kinds)]


def _may_wait(model_folder: Path) -> bool:
    """Whether the network of this folder is to be loaded when it is first asked for."""
    repositories = os.environ.get(LOAD_LATER, "").split(os.pathsep)
    return str(model_folder.resolve().parent) in repositories


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
