"""Triton's `onnxruntime` backend in Python, for servers that lack the native one.

It serves every model whose configuration says `backend: "onnxruntime"`, reads the same files and the same
thread parameters as the native backend, and steps aside where that one is installed. CPU only.
"""

from __future__ import annotations

from tritonface_server.network_backend import NetworkBackend
from tritonface_server.runtimes import Network, onnxruntime_run


class TritonPythonModel(NetworkBackend):
    """One instance of one ONNX model."""

    default_file_name = "model.onnx"
    threads_parameter = "intra_op_thread_count"

    @property
    def run_errors(self) -> tuple[type[Exception], ...]:
        """Its own exceptions have no common class."""
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        return (errors.Fail, errors.InvalidArgument, errors.RuntimeException)

    def load(self, cores: int) -> Network:
        """A session on the CPU."""
        return onnxruntime_run(
            self.model_file,
            self.outputs,
            threads=int(self.parameters.get(self.threads_parameter, 0)) * cores,
            parallel_operators=int(self.parameters.get("inter_op_thread_count", 0)),
        )
