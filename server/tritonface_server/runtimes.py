"""Networks in the runtimes that run them on a CPU: ONNX Runtime for the normal variant, OpenVINO for the other one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tritonface_server.memory import release_freed_memory
from tritonface_server.network_outline import NetworkError, check_outputs

if TYPE_CHECKING:
    import openvino


@dataclass(frozen=True)
class Network:
    """A network in a runtime, to be called with its inputs by name; not by several threads at once.

    Attributes:
        run: gives its outputs, in the order in which they were asked for.
        rest: gives back to the system what it needs to run; the next run takes some milliseconds to allocate it anew.
    """

    run: Callable[[dict[str, np.ndarray]], list[np.ndarray]]
    rest: Callable[[], None]

    def __call__(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self.run(feeds)


Shapes = tuple[tuple[str, tuple[int, ...]], ...]

SMALL_PX = 32
LARGE = 4
"""From so many times the bytes of the first picture on, a runtime gives back what a picture has made it allocate: one
of 2048x2048 would cost 460 MB (ONNX Runtime) or 200 MB (OpenVINO) for good."""


def onnxruntime_run(file: Path, outputs: Sequence[str], threads: int = 0, parallel_operators: int = 0) -> Network:
    """A network in ONNX Runtime, float32; its threads do not spin while they wait.

    Args:
        outputs: names.
        threads: that one operator may use; 0 for as many as the machine has cores.
        parallel_operators: how many operators may run at once; 0 leaves that to the runtime.

    Raises:
        NetworkError: the file is no ONNX network, or has other outputs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = parallel_operators
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # its block costs 44 MB at 640x640 and saves no time
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise NetworkError(f"{file} cannot be loaded as an ONNX network: {str(error).splitlines()[0]}") from error
    check_outputs(file, outputs, [value.name for value in session.get_outputs()])
    shrink = onnxruntime.RunOptions()
    shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    is_large = _compared_with_first()

    small: dict[str, np.ndarray] = {}

    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        if not small:
            small.update({name: array[:1, :SMALL_PX, :SMALL_PX].copy() for name, array in feeds.items()})
        if not is_large(feeds):
            return session.run(outputs, feeds)
        results = session.run(outputs, feeds, shrink)
        release_freed_memory()
        return results

    def rest() -> None:
        with suppress(Exception):  # a network that takes no picture so small keeps what it has
            session.run(outputs, small, shrink)  # the arena shrinks at the end of a run only
        release_freed_memory()

    return Network(run, rest)


def openvino_run(
    file: Path, outputs: Sequence[str], threads: int | None = None, streams: int | None = None, bfloat16: bool = True
) -> Network:
    """A network in OpenVINO, an ONNX file or OpenVINO's own format.

    The shape that comes first gets a network compiled for it alone, which is some 20 % faster; all others share one of
    dynamic shape, so that odd sizes cost no compilations.

    Args:
        outputs: names.
        threads, streams: OpenVINO's INFERENCE_NUM_THREADS and NUM_STREAMS; None leaves them to it.
        bfloat16: compute in it where the CPU has it; in float32 otherwise.

    Raises:
        NetworkError: the file is no network, or has other outputs.
    """
    import openvino

    core = openvino.Core()
    try:  # here, as failing in Triton's warm-up can crash it
        network = core.read_model(file)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]  # above it, places in OpenVINO's sources
        raise NetworkError(f"{file} cannot be loaded as a network: {reason}") from error
    check_outputs(file, outputs, [name for output in network.outputs for name in output.get_names()])
    properties: dict[str, str | int | bool] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 and "bf16" in float_precisions() else "f32",
        "ENABLE_CPU_PINNING": False,  # each process would pin itself to the same first cores and leave others idle
    }
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    if streams is not None:
        properties["NUM_STREAMS"] = streams
    first_shapes: list[Shapes] = []
    requests: dict[Shapes | None, openvino.InferRequest] = {}
    is_large = _compared_with_first()

    def request(shapes: Shapes | None) -> openvino.InferRequest:
        if shapes not in requests:
            network = core.read_model(file)
            if shapes:
                network.reshape({name: list(shape) for name, shape in shapes})
            requests[shapes] = core.compile_model(network, "CPU", properties).create_infer_request()
        return requests[shapes]

    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        shapes = tuple((name, array.shape) for name, array in feeds.items())
        if not first_shapes:
            first_shapes.append(shapes)
        results = request(shapes if shapes == first_shapes[0] else None).infer(feeds, share_inputs=True)
        if is_large(feeds):
            requests.pop(None)  # what is compiled keeps its memory; the next odd size costs a compilation, 0.2 s
            release_freed_memory()
        return [results[name] for name in outputs]

    def rest() -> None:
        for each in requests.values():
            each.get_compiled_model().release_memory()
        release_freed_memory()

    return Network(run, rest)


def _compared_with_first() -> Callable[[dict[str, np.ndarray]], bool]:
    """A function that tells whether the inputs are `LARGE`, compared with those of its first call."""
    first_bytes: list[int] = []

    def is_large(feeds: dict[str, np.ndarray]) -> bool:
        size = sum(array.nbytes for array in feeds.values())
        if not first_bytes:
            first_bytes.append(size)
        return size > LARGE * first_bytes[0]

    return is_large


@cache
def float_precisions() -> tuple[str, ...]:
    """The precisions in which OpenVINO may compute with floats on this CPU, the fastest first: "bf16", "f32"."""
    import openvino

    has_bfloat16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "f32") if has_bfloat16 else ("f32",)
