"""A plain Triton client for measurements that perf_analyzer does not make: batches, crowds, long runs."""

from __future__ import annotations

import threading
from types import TracebackType

import numpy as np
from tritonclient import grpc
from tritonclient.utils import InferenceServerException


class Served:
    """One model of a server, over gRPC; a context manager. Errors are Triton's `InferenceServerException`."""

    def __init__(self, url: str, model: str, threshold: float = 0.5, timeout_s: float = 60.0) -> None:
        self.model = model
        self.threshold = threshold
        self.timeout_s = timeout_s
        self.client = grpc.InferenceServerClient(url)

    def inputs(self, images: list[bytes]) -> list[grpc.InferInput]:
        """The tensors of a request with these images."""
        image = grpc.InferInput("image", [len(images), 1], "BYTES")
        image.set_data_from_numpy(np.array([[encoded] for encoded in images], object))
        threshold = grpc.InferInput("threshold", [len(images), 1], "FP32")
        threshold.set_data_from_numpy(np.full((len(images), 1), self.threshold, np.float32))
        return [image, threshold]

    def detect(self, images: list[bytes]) -> list[int]:
        """How many faces each image has."""
        result = self.client.infer(self.model, self.inputs(images), client_timeout=self.timeout_s)
        return result.as_numpy("num_detections")[:, 0].tolist()

    def detect_many(self, images: list[bytes], count: int, in_flight: int) -> None:
        """Send `count` requests, the images in turn, so many under way at once; the first failure is raised."""
        free, failures = threading.Semaphore(in_flight), []

        def done(result: grpc.InferResult | None, error: InferenceServerException | None) -> None:
            if error is not None:
                failures.append(error)
            free.release()

        requests = [self.inputs([encoded]) for encoded in images]
        for i in range(count):
            free.acquire()
            if failures:
                break
            self.client.async_infer(self.model, requests[i % len(requests)], done, client_timeout=self.timeout_s)
        for _ in range(in_flight):
            free.acquire(timeout=self.timeout_s)
        if failures:
            raise failures[0]

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
