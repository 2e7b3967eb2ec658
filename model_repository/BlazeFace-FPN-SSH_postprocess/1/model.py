"""Adapts Triton tensors to pure functions; see serving/steps/postprocess.py."""

from serving.steps.postprocess import TritonPythonModel

__all__ = ["TritonPythonModel"]
