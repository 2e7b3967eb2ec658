"""What Triton, its Python backend and the client cost: the served ensemble with steps that do nothing of their work.

Each step keeps a core busy for a while, as it costs more to wake processes that have slept, and answers what the real
one has answered to the same photo, so that the same tensors travel.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from tritonclient import grpc
from tritonclient.utils import np_to_triton_dtype

from perf.machine import cores
from tritonface_server.configs import cpu_config_name
from tritonface_server.served_models import read_config

BUSY_MS = 5.0
OF_THE_REAL_STEP = ("platform", "default_model_filename", "parameters", "model_warmup")
Tensors = dict[str, np.ndarray]


def write_repository(source: Path, ensemble: str, url: str, encoded: bytes, folder: Path) -> float:
    """Put the ensemble, under its own name, and its steps into a model repository.

    Args:
        source: the repository of the server at `url`.
        encoded: the photo.

    Returns:
        the milliseconds of a request that are the steps'.
    """
    config = read_config(source / ensemble)
    if config is None:
        raise ValueError(f"{source / ensemble} has no configuration")
    (folder / ensemble / "1").mkdir(parents=True)
    shutil.copy(source / ensemble / "config.pbtxt", folder / ensemble)
    known: Tensors = {"image": np.array([[encoded]], object)}
    with grpc.InferenceServerClient(url) as client:
        for step in config.ensemble_scheduling.step:
            inputs = {name: known[value] for name, value in step.input_map.items() if value in known}
            answer = _ask(client, step.model_name, inputs, list(step.output_map))
            known |= {step.output_map[name]: array for name, array in answer.items()}
            _write_step(source / step.model_name, answer, folder / step.model_name)
    return BUSY_MS * len(config.ensemble_scheduling.step)


def _ask(client: grpc.InferenceServerClient, model: str, inputs: Tensors, outputs: list[str]) -> Tensors:
    tensors = []
    for name, array in inputs.items():
        tensors.append(grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        tensors[-1].set_data_from_numpy(array)
    reply = client.infer(model, tensors, outputs=[grpc.InferRequestedOutput(name) for name in outputs])
    answer = {name: reply.as_numpy(name) for name in outputs}
    return {name: array for name, array in answer.items() if array is not None}  # some are of requests with tiles alone


def _write_step(source: Path, answer: Tensors, folder: Path) -> None:
    config = read_config(source, cpu_config_name(cores()))
    if config is None:
        raise ValueError(f"{source} has no configuration")
    for name in OF_THE_REAL_STEP:
        config.ClearField(name)
    config.backend = "python"
    config.parameters["busy_ms"].string_value = str(BUSY_MS)
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))
    shutil.copy(Path(__file__).with_name("model.py"), folder / "1")
    texts_as_bytes = {name: array.astype("S") if array.dtype == object else array for name, array in answer.items()}
    np.savez(folder / "1" / "answer.npz", **texts_as_bytes)
