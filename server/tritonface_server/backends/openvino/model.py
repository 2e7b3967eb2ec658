"""Triton's `openvino` backend in Python, for servers that lack the native one.

It serves every model whose configuration says `backend: "openvino"` (IR or ONNX files), reads the native backend's
parameters INFERENCE_NUM_THREADS, NUM_STREAMS and HINT_BF16, and steps aside where that one is installed. CPU only.
"""

from __future__ import annotations

from tritonface_server.network_backend import NetworkBackend
from tritonface_server.runtimes import Network, openvino_run


class TritonPythonModel(NetworkBackend):
    """One instance of one model."""

    default_file_name = "model.xml"
    threads_parameter = "INFERENCE_NUM_THREADS"
    run_errors = (RuntimeError,)

    def load(self, cores: int) -> Network:
        """A network compiled for the CPU, bfloat16 where asked for and available."""
        # The native backend's numbers are for all instances together; here each is a process of its own.
        threads, streams = (
            max(1, int(self.parameters[name]) * share // self.copies) if name in self.parameters else None
            for name, share in ((self.threads_parameter, cores), ("NUM_STREAMS", 1))
        )
        return openvino_run(
            self.model_file,
            self.outputs,
            threads=threads,
            streams=streams,
            bfloat16=self.parameters.get("HINT_BF16", "").lower() == "yes",
        )
