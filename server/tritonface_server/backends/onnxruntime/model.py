"""Triton's `onnxruntime` backend in Python, for servers that lack the native one.

It serves every model whose configuration says `backend: "onnxruntime"`, reads the same files and the same
thread parameters as the native backend, and steps aside where that one is installed. CPU only.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tritonface_server.network_backend import NetworkBackend, Run


class TritonPythonModel(NetworkBackend):
    """One instance of one ONNX model."""

    default_file_name = "model.onnx"
    run_errors = (ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.RuntimeException)

    def load(self, model_file: Path, parameters: dict[str, str]) -> Run:
        """A session on the CPU; its threads do not spin while they wait."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
        options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 0))
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # its block costs 44 MB at 640x640 and saves no time
        options.log_severity_level = 3  # errors only
        session = onnxruntime.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
        return lambda feeds: session.run(self.outputs, feeds)
