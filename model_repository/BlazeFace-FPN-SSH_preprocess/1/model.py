"""Adapts Triton tensors to pure functions; see serving/steps/preprocess.py."""

from serving.steps.preprocess import TritonPythonModel

__all__ = ["TritonPythonModel"]
