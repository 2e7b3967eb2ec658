"""The written configurations against the rules by which Triton and its native backends take or refuse a model.

The rules are those of their sources: triton-inference-server/core (model_config_utils.cc, ensemble_utils.cc),
onnxruntime_backend and openvino_backend (CompareDimsSupported, ParseParameter). No native backend runs here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import onnx
import openvino
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tests.shipped import SHIPPED, shipped
from training.paths import MODEL_REPOSITORY
from tritonface_server.admission import ROWS
from tritonface_server.configs import CPU_SETTINGS, GPU, PROFILE
from tritonface_server.limits import MAX_REQUEST_BYTES
from tritonface_server.model_names import model_names, preprocess_name
from tritonface_server.served_models import models_of
from tritonface_server.tensorrt import NOT_BUILT

CPU_KINDS = [name for name, _ in CPU_SETTINGS.values()]
GPU_KINDS = ["gpu", "gpu_tensorrt"]
OPENVINO_PARAMETERS = {"INFERENCE_NUM_THREADS", "NUM_STREAMS", "HINT_BF16"}
ONNX_TYPES = {pb.TYPE_UINT8: onnx.TensorProto.UINT8, pb.TYPE_FP32: onnx.TensorProto.FLOAT}
OPENVINO_TYPES = {pb.TYPE_UINT8: openvino.Type.u8, pb.TYPE_FP32: openvino.Type.f32}


def config_file(model: str, kind: str) -> Path:
    """What Triton reads with `--model-config-name=KIND`."""
    file = MODEL_REPOSITORY / model / "configs" / f"{kind}.pbtxt"
    return file if file.is_file() else MODEL_REPOSITORY / model / "config.pbtxt"


@cache
def config(model: str, kind: str) -> pb.ModelConfig:
    return text_format.Parse(config_file(model, kind).read_text(), pb.ModelConfig())


def full_dims(tensor: pb.ModelInput | pb.ModelOutput, model: pb.ModelConfig) -> list[int]:
    """Its shape with the batch axis, which a model with a `max_batch_size` does not write."""
    return [-1, *tensor.dims] if model.max_batch_size else list(tensor.dims)


def served_by(backend: str) -> list[tuple[str, str]]:
    names = [name for detector in SHIPPED for name in model_names(detector)]
    found = [(name, kind) for name in names for kind in CPU_KINDS + GPU_KINDS]
    return [(name, kind) for name, kind in found if config(name, kind).backend == backend]


@pytest.mark.parametrize("kind", CPU_KINDS + GPU_KINDS)
@pytest.mark.parametrize("name", models_of(MODEL_REPOSITORY, SHIPPED))
def test_what_triton_takes(name: str, kind: str) -> None:
    model = config(name, kind)
    assert model.name == name
    assert all(size <= model.max_batch_size for size in model.dynamic_batching.preferred_batch_size)
    assert all(dim == -1 or dim > 0 for tensor in (*model.input, *model.output) for dim in tensor.dims)
    assert not (model.platform == "ensemble" and model.model_warmup)
    for sample in model.model_warmup:
        for tensor in model.input:
            dims = sample.inputs[tensor.name].dims if tensor.name in sample.inputs else tensor.dims
            assert len(dims) == len(tensor.dims)
            assert all(promised in (-1, given) for promised, given in zip(tensor.dims, dims))


@pytest.mark.parametrize("kind", CPU_KINDS + GPU_KINDS)
@pytest.mark.parametrize("name", [ensemble for detector in SHIPPED for ensemble in model_names(detector)[-2:]])
def test_the_tensors_of_an_ensemble_fit(name: str, kind: str) -> None:
    ensemble = config(name, kind)
    known = {tensor.name: (tensor.data_type, full_dims(tensor, ensemble)) for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = config(step.model_name, kind)
        for tensors, names in ((model.input, step.input_map), (model.output, step.output_map)):
            for tensor in (tensor for tensor in tensors if tensor.name in names):
                data_type, dims = tensor.data_type, full_dims(tensor, model)
                before = known.setdefault(names[tensor.name], (data_type, dims))
                assert before[0] == data_type and len(before[1]) == len(dims)
                assert all(-1 in pair or pair[0] == pair[1] for pair in zip(before[1], dims))
    assert {tensor.name for tensor in ensemble.output} <= known.keys()


@pytest.mark.fault("D")
@pytest.mark.parametrize("kind", GPU_KINDS)
@pytest.mark.parametrize("detector", SHIPPED)
def test_every_step_has_its_settings_for_gpus(detector: str, kind: str) -> None:
    names = [preprocess_name(shipped(detector)), *model_names(detector)[:-2]]
    steps = {name: config_file(name, kind) for name in names}
    assert [file.stem for file in steps.values()] == [kind] * 4
    for name in (f"{detector}_detector", f"{detector}_hpi_detector"):
        (group,) = config(name, kind).instance_group
        assert group.kind == pb.ModelInstanceGroup.KIND_GPU


@pytest.mark.fault("D")
@pytest.mark.parametrize("kind", [*CPU_KINDS, "gpu"])
@pytest.mark.parametrize("detector", SHIPPED)
def test_nothing_but_gpu_tensorrt_needs_an_engine(detector: str, kind: str) -> None:
    for name in (f"{detector}_detector", f"{detector}_hpi_detector"):
        model = config(name, kind)
        file = model.default_model_filename or "model.onnx"
        assert model.backend in ("onnxruntime", "openvino") and (MODEL_REPOSITORY / name / "1" / file).is_file()


@pytest.mark.parametrize(("name", "kind"), served_by("onnxruntime"))
def test_what_the_native_onnxruntime_takes(name: str, kind: str) -> None:
    model = config(name, kind)
    graph = onnx.load(MODEL_REPOSITORY / name / "1" / (model.default_model_filename or "model.onnx")).graph
    there = {value.name: value.type.tensor_type for value in (*graph.input, *graph.output)}
    for tensor in (*model.input, *model.output):
        value = there[tensor.name]
        shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.shape.dim]
        assert value.elem_type == ONNX_TYPES[tensor.data_type]
        assert shape[0] == -1 and shape == full_dims(tensor, model)
    assert {*model.parameters} <= {"intra_op_thread_count", "inter_op_thread_count"}


@pytest.mark.fault("D")
@pytest.mark.parametrize(("name", "kind"), served_by("openvino"))
def test_what_the_native_openvino_takes(name: str, kind: str) -> None:
    model = config(name, kind)
    assert model.max_batch_size == 0  # or it would fix the network to that batch and refuse every other
    network = openvino.Core().read_model(MODEL_REPOSITORY / name / "1" / model.default_model_filename)
    there = {tensor.get_any_name(): tensor for tensor in (*network.inputs, *network.outputs)}
    for tensor in (*model.input, *model.output):
        assert there[tensor.name].element_type == OPENVINO_TYPES[tensor.data_type]
        assert fits(there[tensor.name].partial_shape, tensor.dims)
    values = {key: value.string_value for key, value in model.parameters.items()}
    assert values.keys() == OPENVINO_PARAMETERS and values["HINT_BF16"].lower() == "yes"
    # All instances share one compiled network: it needs a stream and a thread for each of them.
    (group,) = model.instance_group
    assert values["NUM_STREAMS"] == values["INFERENCE_NUM_THREADS"] == str(group.count)


def fits(shape: openvino.PartialShape, dims: list[int]) -> bool:
    """The rule of the native backend for one tensor without `max_batch_size`."""
    if len(shape) != len(dims):
        return False
    return all(dim.get_length() == wanted if dim.is_static else True for dim, wanted in zip(shape, dims))


@pytest.mark.fault("D")
@pytest.mark.parametrize("detector", SHIPPED)
def test_an_ensemble_offers_the_one_size_of_its_engine(detector: str) -> None:
    engine = config(f"{detector}_hpi_detector", "gpu_tensorrt")
    width, height = shipped(detector).input_size_wh
    assert (engine.backend, engine.default_model_filename) == ("tensorrt", NOT_BUILT)
    assert list(engine.input[0].dims) == [height, width, 3]
    assert engine.max_batch_size == PROFILE[-1] and {*engine.dynamic_batching.preferred_batch_size} <= {*PROFILE}
    sizes = {
        name: text_format.MessageToString(config(name, "gpu_tensorrt").parameters["img_size"])
        for name in (detector, f"{detector}_hpi")
    }
    assert f'\\"only_wh\\": [{width}, {height}]' in sizes[f"{detector}_hpi"] and "only_wh" not in sizes[detector]
    assert "only_wh" not in text_format.MessageToString(config(f"{detector}_hpi", "gpu").parameters["img_size"])


def test_gpus_run_one_network_in_large_batches() -> None:
    assert GPU.detector_instances == 1
    for name in ("BlazeFace_detector", "BlazeFace_hpi_detector"):
        assert max(config(name, "gpu").dynamic_batching.preferred_batch_size) > 1


@pytest.mark.parametrize("kind", CPU_KINDS + GPU_KINDS)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_queue_is_bounded_and_only_the_first_one_rejects(name: str, kind: str) -> None:
    names = [preprocess_name(shipped(name)), *model_names(name)[:-2]]
    first, *later = (config(model, kind) for model in names)
    policies = [model.dynamic_batching.default_queue_policy for model in (first, *later)]
    for policy in policies:
        assert policy.max_queue_size > 0 and policy.timeout_action == pb.ModelQueuePolicy.REJECT
        assert policy.default_timeout_microseconds > 1_000_000 and policy.allow_timeout_override
    requests, size_bytes = json.loads(first.parameters["budget"].string_value)
    # A ticket expires twice as late as usual or later: what the ledger lets through stays below a few budgets.
    assert all(policy.max_queue_size >= min(4 * requests, ROWS) for policy in policies[1:])
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
