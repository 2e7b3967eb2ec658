"""What a step tells about its work: metrics at Triton's metrics port, and a log line for each request it declines."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import triton_python_backend_utils as pb_utils

from tritonface_server.admission import Budget
from tritonface_server.metrics import (
    BYTES_UNDER_WAY,
    FAMILIES,
    REQUESTS_DECLINED,
    REQUESTS_UNDER_WAY,
    STAGE_RUNS,
    STAGE_SECONDS,
    Counts,
    Delivery,
    Metric,
    Series,
    of_model,
    series,
    series_of_model,
)
from tritonface_server.request_log import RequestLog
from tritonface_server.steps.answers import BusyError, FailedError, GoneError, RequestError, declined

STDERR = 2
REASONS: dict[type[Exception], str] = {
    RequestError: "invalid",
    BusyError: "busy",
    GoneError: "gone",
    FailedError: "failed",
}


class StepReport:
    """Counts and log lines of one process of one step; a failure to tell them never fails the step.

    Args:
        model_name: Triton's, "BlazeFace_postprocess" for example; it ends with the name of the step.
        under_way: what the whole server has between decoding and answer.
    """

    def __init__(self, model_name: str, under_way: Callable[[], Budget] | None = None) -> None:
        self._step, self._owner = of_model(model_name)
        self._under_way = under_way
        self._counts = Counts(series_of_model(model_name))
        self._log = RequestLog(model=model_name)
        self._metrics: dict[Series, Metric] = {}
        self._families: dict[str, Any] = {}
        self._delivery = Delivery(self._deliver)
        self._delivery.ask()

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Raise a counter of this step."""
        self._counts.add(series(name, **self._owner, **labels), amount)
        self._delivery.ask()

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Count the block as a run of a stage, whether it fails or not."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self.spent(stage, time.perf_counter() - begin_s)

    def spent(self, stage: str, duration_s: float) -> None:
        """Count a run of a stage that took so long."""
        self._counts.add(series(STAGE_SECONDS, **self._owner, stage=stage), duration_s)
        self.count(STAGE_RUNS, stage=stage)

    def declined(self, request: Any, error: Exception, reason: str | None = None) -> Any:
        """The response that declines a request, which is counted and logged."""
        reason = reason or REASONS[type(error)]
        self._log.declined(reason, str(error), _request_id(request), lambda: _inputs(request))
        self.count(REQUESTS_DECLINED, step=self._step, reason=reason)
        return declined(error)

    def close(self) -> None:
        """Tell what is left."""
        self._delivery.close()

    def _deliver(self) -> bool:
        """Hand on what was gathered; true as long as something is under way, so that its end is told as well."""
        for line in self._log.take():
            with suppress(OSError):  # nobody reads it
                os.write(STDERR, f"{line}\n".encode())
        try:
            for metric, amount in self._counts.take().items():
                self._metric(metric).increment(amount)
            return self._deliver_under_way()
        except pb_utils.TritonModelException:  # the server keeps no metrics
            return False

    def _deliver_under_way(self) -> bool:
        if self._under_way is None:
            return False
        requests, size_bytes = self._under_way()
        self._metric(series(REQUESTS_UNDER_WAY)).set(requests)
        self._metric(series(BYTES_UNDER_WAY)).set(size_bytes)
        return bool(requests)

    def _metric(self, metric: Series) -> Metric:
        if metric not in self._metrics:
            if metric.name not in self._families:
                family = FAMILIES[metric.name]
                kinds = pb_utils.MetricFamily
                self._families[metric.name] = _kept(
                    kinds(metric.name, family.help, kinds.GAUGE if family.is_gauge else kinds.COUNTER)
                )
            self._metrics[metric] = _kept(self._families[metric.name].Metric(labels=dict(metric.labels)))
        return self._metrics[metric]


def _kept(metric: Any) -> Any:
    """The same, which is never deleted: Triton 2.51 does not survive it.

    At the interpreter's end this process dies of it (SIGSEGV). If the model deletes it before, tritonserver's heap is
    damaged where other processes use the same metric: it aborts, or hangs.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(metric))
    return metric


def _request_id(request: Any) -> str:
    try:
        return request.request_id()
    except UnicodeDecodeError:
        return "(not UTF-8)"


def _inputs(request: Any) -> dict[str, dict[str, object]]:
    return {tensor.name(): {"shape": list(tensor.shape()), "bytes": _size_bytes(tensor)} for tensor in request.inputs()}


def _size_bytes(tensor: Any) -> int:
    array = tensor.as_numpy()
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes
