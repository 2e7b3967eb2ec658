"""Triton's `openvino` backend in Python, for servers that lack the native one.

It serves every model whose configuration says `backend: "openvino"` (IR or ONNX files), reads the native backend's
parameters INFERENCE_NUM_THREADS, NUM_STREAMS and HINT_BF16, and steps aside where that one is installed. CPU only.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import openvino

from tritonface_server.network_backend import NetworkBackend, Run

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class TritonPythonModel(NetworkBackend):
    """One instance of one model.

    The shape that comes first, the warm-up's, gets a network compiled for it alone, which is some 20 % faster; all
    others share one of dynamic shape, so that odd sizes cost no compilations.
    """

    default_file_name = "model.xml"
    run_errors = (RuntimeError,)

    def load(self, model_file: Path, parameters: dict[str, str]) -> Run:
        """A network compiled for the CPU, bfloat16 where asked for and available."""
        core = openvino.Core()
        core.read_model(model_file)  # an unusable file is refused here: failing in the warm-up can crash Triton
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision(core, parameters),
            "ENABLE_CPU_PINNING": False,  # each process would pin itself to the same first cores and leave others idle
        }
        for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS"):
            if name in parameters:
                properties[name] = int(parameters[name])
        first_shapes: list[Shapes] = []

        @cache
        def request(shapes: Shapes | None) -> openvino.InferRequest:
            model = core.read_model(model_file)
            if shapes:
                model.reshape({name: list(shape) for name, shape in shapes})
            return core.compile_model(model, "CPU", properties).create_infer_request()

        def run(feeds: dict) -> list:
            shapes = tuple((name, array.shape) for name, array in feeds.items())
            if not first_shapes:
                first_shapes.append(shapes)
            chosen = request(shapes if shapes == first_shapes[0] else None)
            results = chosen.infer(feeds, share_inputs=True)
            return [results[name] for name in self.outputs]

        return run


def precision(core: openvino.Core, parameters: dict[str, str]) -> str:
    """The precision to compute in: "bf16" if it is wanted and the CPU has it, else "f32"."""
    wanted = parameters.get("HINT_BF16", "").lower() == "yes"
    return "bf16" if wanted and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
