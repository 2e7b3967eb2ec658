"""Every written configuration against the rules of Triton and its native backends, and against their own examples.

`triton_rules` has the rules. What a native backend would make of a network is asked of the same library here, where it
can be had: ONNX's reader, and OpenVINO with the calls of its backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from tritonclient.grpc import model_config_pb2 as pb

from tests.shipped import SHIPPED, network_file, shipped
from tests.unit.server import triton_rules as rules
from training.paths import MODEL_REPOSITORY
from tritonface_server.configs import CPU_SETTINGS, engine_configs, model_configs
from tritonface_server.model_names import model_names, preprocess_name
from tritonface_server.repository import build_entry
from tritonface_server.served_models import all_models, read_config
from tritonface_server.tensorrt import PROFILE

CPU_KINDS = [name for name, _ in CPU_SETTINGS.values()]
KINDS = [*CPU_KINDS, "gpu", "gpu_tensorrt"]
ONNX_TYPES = {onnx.TensorProto.UINT8: pb.TYPE_UINT8, onnx.TensorProto.FLOAT: pb.TYPE_FP32}
OPENVINO_TYPES = {openvino.Type.u8: pb.TYPE_UINT8, openvino.Type.f32: pb.TYPE_FP32}
Tensors = dict[str, tuple[int, list[int]]]


@cache
def config(model: str, kind: str, repository: Path = MODEL_REPOSITORY) -> pb.ModelConfig:
    """What Triton reads with `--model-config-name=KIND`, by the real protobuf."""
    read = read_config(repository / model, kind)
    assert read is not None, f"{model} has no configuration that can be parsed"
    return read


@cache
def onnx_tensors(file: Path) -> Tensors:
    graph = onnx.load(file, load_external_data=False).graph
    there = {value.name: value.type.tensor_type for value in (*graph.input, *graph.output)}
    return {
        name: (
            ONNX_TYPES[value.elem_type],
            [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.shape.dim],
        )
        for name, value in there.items()
    }


@cache
def openvino_tensors(file: Path) -> Tensors:
    network = openvino.Core().read_model(file)
    return {
        tensor.get_any_name(): (
            OPENVINO_TYPES[tensor.element_type],
            [dim.get_length() if dim.is_static else -1 for dim in tensor.partial_shape],
        )
        for tensor in (*network.inputs, *network.outputs)
    }


def engine_tensors(size_wh: tuple[int, int]) -> Tensors:
    """Of what trtexec builds: the exported network, its pictures of one size."""
    tensors = dict(onnx_tensors(network_file()))
    width, height = size_wh
    return tensors | {"picture": (pb.TYPE_UINT8, [-1, height, width, 3])}


def refusals(model: pb.ModelConfig, kind: str, repository: Path) -> Iterator[str]:
    """Why a server of this kind would not load a model of a repository."""
    yield from rules.core(model)
    if model.platform == "ensemble":
        yield from rules.ensemble(model, lambda step: config(step, kind, repository))
        return
    yield from rules.backend(model)
    file = repository / model.name / "1" / (model.default_model_filename or "model.onnx")
    if model.backend == "onnxruntime":
        yield from rules.network(model, onnx_tensors(file))
    if model.backend == "openvino":
        yield from rules.network(model, openvino_tensors(file))


def test_an_empty_configuration_is_refused() -> None:
    assert list(rules.core(pb.ModelConfig()))
    assert list(rules.ensemble(pb.ModelConfig(), lambda step: pb.ModelConfig())) == ["no step"]
    assert list(rules.backend(pb.ModelConfig()))


@pytest.mark.fault("D")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_server_takes_every_model(kind: str) -> None:
    models = {name: config(name, kind) for name in all_models(MODEL_REPOSITORY)}
    assert not {name: why for name, model in models.items() if (why := [*refusals(model, kind, MODEL_REPOSITORY)])}


@pytest.fixture(scope="module")
def other_entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a detector of another size, as `publish` writes one, its network in OpenVINO's format, too."""
    folder, quantised = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("quantised")
    openvino.save_model(openvino.Core().read_model(network_file()), quantised / "model.xml")
    detector = replace(shipped(), name="mine", input_size_wh=(320, 192))
    build_entry(detector, network_file().parent, folder, quantised)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_server_takes_what_is_published(other_entry: Path, kind: str) -> None:
    assert (config("mine_hpi_detector", kind, other_entry).default_model_filename == "model.xml") is (kind in CPU_KINDS)
    for name in all_models(other_entry):
        assert not [*refusals(config(name, kind, other_entry), kind, other_entry)], name


@pytest.mark.fault("D")
@pytest.mark.parametrize("size_wh", [(640, 640), (320, 192)])
def test_what_an_engine_gets(size_wh: tuple[int, int]) -> None:
    """The configurations that `tensorrt build` puts in use, for the one profile that it asks trtexec for."""
    detector = replace(shipped(), input_size_wh=size_wh)
    with_engine = engine_configs(detector)
    network = with_engine["BlazeFace_hpi_detector"]
    width, height = size_wh
    smallest, largest = ([batch, height, width, 3] for batch in (PROFILE[0], PROFILE[-1]))
    found = chain(rules.core(network), rules.backend(network), rules.network(network, engine_tensors(size_wh)))
    assert not [*found, *rules.profile(network, smallest, largest)]
    assert network.backend == "tensorrt" and {*network.dynamic_batching.preferred_batch_size} <= {*PROFILE}
    ensemble = with_engine["BlazeFace_hpi"]
    steps = {
        name: variants["gpu_tensorrt"] for name, variants in model_configs(detector).items() if name != "BlazeFace"
    }
    steps |= {preprocess_name(detector): config("640x640_cubic_preprocess", "gpu_tensorrt"), network.name: network}
    assert not [*rules.core(ensemble), *rules.ensemble(ensemble, steps.__getitem__)]


@pytest.mark.fault("D")
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_exists_for_each_model_or_the_default_is_meant(kind: str) -> None:
    """Triton takes config.pbtxt where a model has no configuration of this name, and that is for two CPUs."""
    for name in all_models(MODEL_REPOSITORY):
        model, has_own = config(name, kind), (MODEL_REPOSITORY / name / "configs" / f"{kind}.pbtxt").is_file()
        if not has_own and model.platform != "ensemble":
            assert kind in CPU_KINDS, f"{name} would run as on two CPUs"
    for detector in SHIPPED:
        for name in model_names(detector)[1:3]:
            on_gpu = [group.kind == rules.GROUP.KIND_GPU for group in config(name, kind).instance_group]
            assert on_gpu == [kind not in CPU_KINDS]


@pytest.mark.fault("D")
@pytest.mark.parametrize("kind", CPU_KINDS)
def test_the_instances_of_an_openvino_network_share_its_streams(kind: str) -> None:
    for detector in SHIPPED:
        model = config(f"{detector}_hpi_detector", kind)
        (group,) = model.instance_group
        values = {name: value.string_value for name, value in model.parameters.items()}
        assert values["NUM_STREAMS"] == values["INFERENCE_NUM_THREADS"] == str(group.count)


def test_openvino_does_what_its_backend_would_ask_of_it() -> None:
    """The calls of openvino_backend for one model: properties on the core, one compiled network, a request for each
    instance, pictures of several sizes and batches."""
    model = config("BlazeFace_hpi_detector", "cpu_1")
    values = {name: value.string_value for name, value in model.parameters.items()}
    core = openvino.Core()
    network = core.read_model(MODEL_REPOSITORY / model.name / "1" / model.default_model_filename)
    layouts = [openvino.layout_helpers.get_layout(tensor) for tensor in (*network.inputs, *network.outputs)]
    # Auto-completion, where it is on, would give a network whose layout has a batch axis a max_batch_size.
    assert not any(openvino.layout_helpers.has_batch(layout) for layout in layouts)
    typed = openvino.preprocess.PrePostProcessor(network)
    typed.input("picture").tensor().set_element_type(openvino.Type.u8)
    network = typed.build()
    assert values.pop("HINT_BF16") == "YES"
    core.set_property("CPU", {**values, "INFERENCE_PRECISION_HINT": "bf16"})
    compiled = core.compile_model(network, "CPU", {"ALLOW_AUTO_BATCHING": False})
    assert compiled.get_property("NUM_STREAMS") == model.instance_group[0].count
    for shape in ((1, 64, 64, 3), (3, 96, 64, 3)):
        request = compiled.create_infer_request()
        request.set_tensor("picture", openvino.Tensor(np.zeros(shape, np.uint8)))
        request.infer()
        boxes, scores = (request.get_tensor(name).shape for name in ("boxes", "scores"))
        assert [*boxes] == [*scores, 4] and boxes[0] == shape[0]


def change(**fields: object) -> Callable[[pb.ModelConfig], None]:
    return lambda model: model.MergeFrom(pb.ModelConfig(**fields))


def parameter(name: str, value: str) -> Callable[[pb.ModelConfig], None]:
    return lambda model: setattr(model.parameters[name], "string_value", value)


def kind_of_instance(kind: int) -> Callable[[pb.ModelConfig], None]:
    return lambda model: setattr(model.instance_group[0], "kind", kind)


def accelerate(where: str, name: str) -> Callable[[pb.ModelConfig], None]:
    return lambda model: getattr(model.optimization.execution_accelerators, where).add(name=name)


@pytest.mark.parametrize(
    ("model", "kind", "spoil"),
    [
        ("BlazeFace_detector", "gpu", change(platform="tensorrt_plan")),
        ("BlazeFace_detector", "gpu", change(max_batch_size=-1)),
        ("BlazeFace_detector", "gpu", change(dynamic_batching=pb.ModelDynamicBatching(preferred_batch_size=[33]))),
        ("BlazeFace_detector", "gpu", kind_of_instance(rules.GROUP.KIND_MODEL)),
        ("BlazeFace_detector", "gpu", parameter("cudnn_conv_algo_search", "HEURISTIC")),
        ("BlazeFace_detector", "gpu", parameter("intra_op_threads", "1")),
        ("BlazeFace_detector", "gpu", accelerate("gpu_execution_accelerator", "tensor_rt")),
        ("BlazeFace_detector", "gpu", lambda model: model.input[0].dims.append(1)),
        ("BlazeFace_detector", "gpu", lambda model: model.output[0].dims.__setitem__(0, 100)),
        ("BlazeFace_detector", "gpu", lambda model: setattr(model.input[0], "data_type", pb.TYPE_FP32)),
        ("BlazeFace_detector", "gpu", lambda model: setattr(model.input[0], "name", "image")),
        ("BlazeFace_detector", "gpu", lambda model: model.input[0].reshape.shape.extend([3, -1])),
        ("BlazeFace_detector", "gpu", lambda model: model.instance_group[0].profile.append("0")),
        ("BlazeFace_detector", "cpu", lambda model: model.instance_group[0].gpus.append(0)),
        ("BlazeFace_detector", "cpu", lambda model: model.model_warmup[0].inputs.clear()),
        ("BlazeFace_hpi_detector", "cpu", kind_of_instance(rules.GROUP.KIND_GPU)),
        ("BlazeFace_hpi_detector", "cpu", change(max_batch_size=32)),
        ("BlazeFace_hpi_detector", "cpu", parameter("HINT_BF16", "NO")),
        ("BlazeFace_hpi_detector", "cpu", parameter("NUM_STREAMS", "-1")),
        ("BlazeFace_hpi_detector", "cpu", parameter("INFERENCE_PRECISION_HINT", "bf16")),
        ("BlazeFace_postprocess", "gpu", parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "no")),
        ("BlazeFace", "cpu", lambda model: model.instance_group.add(count=1)),
        ("BlazeFace", "cpu", change(dynamic_batching=pb.ModelDynamicBatching())),
        ("BlazeFace", "cpu", change(backend="python")),
        ("BlazeFace", "cpu", change(max_batch_size=64)),
        ("BlazeFace", "cpu", lambda model: model.input.add(name="more", data_type=pb.TYPE_FP32, dims=[1])),
        ("BlazeFace", "cpu", lambda model: model.output.add(name="more", data_type=pb.TYPE_FP32, dims=[1])),
        ("BlazeFace", "cpu", lambda model: setattr(model.output[0], "data_type", pb.TYPE_FP32)),
        ("BlazeFace", "cpu", lambda model: model.ensemble_scheduling.step[1].input_map.pop("picture")),
        ("BlazeFace", "cpu", lambda model: model.ensemble_scheduling.step[2].output_map.pop("detection_boxes")),
        ("BlazeFace", "cpu", lambda model: model.ensemble_scheduling.step[0].output_map.update(strict="boxes")),
    ],
)
def test_the_rules_refuse(model: str, kind: str, spoil: Callable[[pb.ModelConfig], object]) -> None:
    spoilt = pb.ModelConfig()
    spoilt.CopyFrom(config(model, kind))
    spoil(spoilt)
    spoilt.name = spoilt.name or model
    assert [*refusals(spoilt, kind, MODEL_REPOSITORY)]


@pytest.mark.parametrize(
    "spoil",
    [
        change(max_batch_size=64),
        lambda model: model.input[0].dims.__setitem__(0, 641),
        lambda model: model.input[0].dims.__setitem__(0, -1),
    ],
)
def test_the_profile_refuses(spoil: Callable[[pb.ModelConfig], object]) -> None:
    network = engine_configs(shipped())["BlazeFace_hpi_detector"]
    spoil(network)
    assert [*rules.profile(network, [1, 640, 640, 3], [32, 640, 640, 3])]
