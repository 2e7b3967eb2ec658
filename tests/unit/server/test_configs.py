"""What the written configurations promise: queues, tickets, sizes. What Triton takes stands in test_native_backends."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tests.shipped import SHIPPED, shipped
from training.paths import MODEL_REPOSITORY
from tritonface_server.admission import ROWS
from tritonface_server.configs import CPU_SETTINGS, GPU, engine_configs
from tritonface_server.limits import MAX_REQUEST_BYTES
from tritonface_server.model_names import model_names, preprocess_name

CPU_KINDS = [name for name, _ in CPU_SETTINGS.values()]
GPU_KINDS = ["gpu", "gpu_tensorrt"]


def config_file(model: str, kind: str) -> Path:
    """What Triton reads with `--model-config-name=KIND`."""
    file = MODEL_REPOSITORY / model / "configs" / f"{kind}.pbtxt"
    return file if file.is_file() else MODEL_REPOSITORY / model / "config.pbtxt"


@cache
def config(model: str, kind: str) -> pb.ModelConfig:
    return text_format.Parse(config_file(model, kind).read_text(), pb.ModelConfig())


@pytest.mark.fault("D")
@pytest.mark.parametrize("name", SHIPPED)
def test_an_ensemble_offers_the_one_size_of_its_engine(name: str) -> None:
    detector = shipped(name)
    with_engine, width, height = engine_configs(detector), *detector.input_size_wh
    assert [*with_engine[f"{name}_hpi_detector"].input[0].dims] == [height, width, 3]
    sizes = json.loads(with_engine[f"{name}_hpi"].parameters["img_size"].string_value)
    assert sizes["only_wh"] == [width, height]
    for kind in GPU_KINDS:  # until one is built
        assert "only_wh" not in config(f"{name}_hpi", kind).parameters["img_size"].string_value
        assert config(f"{name}_hpi_detector", kind).backend == "onnxruntime"


def test_gpus_run_one_network_in_large_batches() -> None:
    assert GPU.detector_instances == 1
    for name in ("BlazeFace_detector", "BlazeFace_hpi_detector"):
        assert max(config(name, "gpu").dynamic_batching.preferred_batch_size) > 1


@pytest.mark.parametrize("kind", CPU_KINDS + GPU_KINDS)
@pytest.mark.parametrize("name", SHIPPED)
def test_the_first_queue_rejects_and_the_ledger_bounds_the_others(name: str, kind: str) -> None:
    """With a policy of its own, a later queue keeps requests waiting beside a process that is free, see L0_overload."""
    names = [preprocess_name(shipped(name)), *model_names(name)[:-2]]
    first, *later = (config(model, kind) for model in names)
    policy = first.dynamic_batching.default_queue_policy
    assert policy.max_queue_size > 0 and policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.default_timeout_microseconds > 1_000_000 and policy.allow_timeout_override
    for model in later:
        assert model.HasField("dynamic_batching") and not model.dynamic_batching.HasField("default_queue_policy")
    requests, size_bytes = json.loads(first.parameters["budget"].string_value)
    assert requests < ROWS and size_bytes >= MAX_REQUEST_BYTES
    assert [*first.dynamic_batching.preferred_batch_size] == [1]


@pytest.mark.parametrize("kind", CPU_KINDS + GPU_KINDS)
@pytest.mark.parametrize("name", [ensemble for detector in SHIPPED for ensemble in model_names(detector)[-2:]])
def test_tickets_go_past_the_network_and_never_to_clients(name: str, kind: str) -> None:
    """Native backends know no tickets; and without the last step's outputs Triton runs only the first step (C15)."""
    ensemble = config(name, kind)
    first, network, last = ensemble.ensemble_scheduling.step
    assert "ticket" in first.output_map and "ticket" in last.input_map
    assert [*network.input_map] == ["picture"] and sorted(network.output_map) == ["boxes", "scores"]
    assert "ticket" not in {tensor.name for tensor in (*ensemble.input, *ensemble.output)}
    assert {tensor.name for tensor in ensemble.output} == set(last.output_map.values())
