"""Triton model configurations of a detector's ensembles and their steps, for servers on CPU and on GPU."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from tritonface_server.admission import Budget
from tritonface_server.detector import Detector
from tritonface_server.limits import MAX_BATCH_SIZE, MAX_NETWORK_SIDE_PX, MAX_REQUEST_BYTES, MIN_NETWORK_SIDE_PX
from tritonface_server.model_names import model_names, preprocess_name
from tritonface_server.tensorrt import ENGINE_KIND, PROFILE
from tritonface_server.tensors import (
    BOXES,
    DETECTIONS,
    IMAGE,
    IMAGE_THRESHOLD,
    IMG_SIZE,
    PAST_THE_NETWORK,
    PICTURE,
    SCORES,
    SIZES_WH,
    STRICT,
    THRESHOLD,
    TILES,
    Tensor,
)


@dataclass(frozen=True)
class Device:
    """How a server on one kind of hardware runs the steps.

    Attributes:
        preprocess_instances, postprocess_instances: processes of the Python steps.
        detector_instances: copies of the network.
        detector_batches: batch sizes the scheduler aims at for the network.
        kind: where the network runs.
        budget: what may be on its way from decoding to NMS at once, see `admission`.
        queue_size: requests that wait to be decoded; the next ones are rejected. It is what they wait for, so it grows
            with the rate at which the network works.
    """

    preprocess_instances: int
    detector_instances: int
    postprocess_instances: int
    detector_batches: tuple[int, ...]
    kind: int
    budget: Budget
    queue_size: int


# On a CPU merging requests gains nothing and leaves the other instance idle, hence batches of one. The scheduler that
# could merge them stays: Triton's plain one was slower in five of six paired runs.
GPU = Device(
    preprocess_instances=4,
    detector_instances=1,
    postprocess_instances=2,
    detector_batches=PROFILE[1:],
    kind=pb.ModelInstanceGroup.KIND_GPU,
    budget=Budget(requests=4 * PROFILE[-1], bytes=8 * MAX_REQUEST_BYTES),  # enough to fill batches of single images
    queue_size=8 * PROFILE[-1],
)


def _cpu(preprocess: int, detector: int, postprocess: int = 1) -> Device:
    """For each copy of the network one request in it, one before it and one that is decoded; eight that wait."""
    budget = Budget(requests=3 * detector, bytes=min(detector + 1, 8) * MAX_REQUEST_BYTES)
    kind = pb.ModelInstanceGroup.KIND_CPU
    return Device(preprocess, detector, postprocess, (1,), kind, budget, queue_size=8 * detector)


CPU = _cpu(preprocess=2, detector=2)
CPU_SETTINGS = {
    1: ("cpu_1", _cpu(preprocess=2, detector=1)),
    2: ("cpu", CPU),
    4: ("cpu_4", _cpu(preprocess=2, detector=4)),
    8: ("cpu_8", _cpu(preprocess=4, detector=8)),
    16: ("cpu_16", _cpu(preprocess=8, detector=16, postprocess=2)),
}
"""`{CPUs: (configuration name, settings)}`: one single-threaded copy of the network for each CPU, as copies share them
better than the threads of one copy do, and half as many processes to decode, at least two, see QUEUE_TIMEOUT_S."""
DEVICES = [*CPU_SETTINGS.values(), ("gpu", GPU), (ENGINE_KIND, GPU)]
CPU_THREADS = "1"
"""Threads of one copy of the network on a CPU, as long as others work as well; see `network_backend`."""
QUEUE_TIMEOUT_S = 2
"""How long a request waits before preprocessing at most; its own `timeout` can be shorter. It is what a queue before
dead processes costs, of which each fails one request a second. The queues behind it have no policy: where there is one,
Triton can miss that a process is free, and looks again half a second later."""


def cpu_config_name(cpus: int) -> str:
    """The configuration for a server that may use so many CPUs: the next larger one, or the largest."""
    return CPU_SETTINGS[min((size for size in CPU_SETTINGS if size >= cpus), default=max(CPU_SETTINGS))][0]


def model_configs(detector: Detector, openvino_file: str = "model.onnx") -> dict[str, dict[str, pb.ModelConfig]]:
    """All configurations of a detector's own models: `{model name: {configuration name: configuration}}`.

    The configuration names are those of `--model-config-name`: those of `CPU_SETTINGS`, "gpu", which never needs an
    engine, and "gpu_tensorrt", which is the same until an engine is built, see `engine_configs`. A size that has the
    settings of "cpu" is left out: Triton then takes config.pbtxt, which is "cpu". Ensembles come last; their name ""
    stands for all kinds of servers that have none of their own.
    """
    network, hpi_network = f"{detector.name}_detector", f"{detector.name}_hpi_detector"
    configs: list[dict[str, pb.ModelConfig]] = [
        {name: postprocess_config(detector, device) for name, device in DEVICES},
        {name: onnxruntime_config(detector, network, device) for name, device in DEVICES},
        {
            **{name: openvino_config(detector, device, openvino_file) for name, device in CPU_SETTINGS.values()},
            **dict.fromkeys(("gpu", ENGINE_KIND), onnxruntime_config(detector, hpi_network, GPU)),
        },
        {"": ensemble_config(detector, detector.name, "detector")},
        dict.fromkeys(("", ENGINE_KIND), ensemble_config(detector, f"{detector.name}_hpi", "hpi_detector")),
    ]
    return {name: _distinct(variants) for name, variants in zip(model_names(detector.name), configs, strict=True)}


def engine_configs(detector: Detector) -> dict[str, pb.ModelConfig]:
    """What replaces the configurations "gpu_tensorrt" of these models where there is an engine: `{model name: ...}`."""
    return {
        f"{detector.name}_hpi": ensemble_config(detector, f"{detector.name}_hpi", "hpi_detector", one_size=True),
        f"{detector.name}_hpi_detector": tensorrt_config(detector),
    }


def preprocess_configs(detector: Detector) -> dict[str, pb.ModelConfig]:
    """The configurations of the model that decodes for it, and for all other detectors with the same name of it."""
    return _distinct({name: preprocess_config(detector, device) for name, device in DEVICES})


def ensemble_config(detector: Detector, name: str, network: str, one_size: bool = False) -> pb.ModelConfig:
    """What clients call: images in, detections out.

    Args:
        one_size: whether its network takes the detector's own input size only, as an engine does.
    """
    sizes: dict[str, Any] = {"min_px": MIN_NETWORK_SIDE_PX, "max_px": MAX_NETWORK_SIDE_PX}
    if one_size:
        size_wh = detector.input_size_wh
        sizes = {"min_px": min(size_wh), "max_px": max(size_wh), "only_wh": size_wh}
    sizes = {"multiple": detector.size_multiple, **sizes}
    parameters = _as_json(labels=detector.labels, img_size=sizes)
    optional = [THRESHOLD, IMG_SIZE, STRICT, TILES]
    config = _config(name, [IMAGE], DETECTIONS, parameters, optional)
    config.platform = "ensemble"
    steps = [
        (preprocess_name(detector), [IMAGE, *optional], [PICTURE, IMAGE_THRESHOLD, *PAST_THE_NETWORK]),
        (f"{detector.name}_{network}", [PICTURE], [BOXES, SCORES]),
        (f"{detector.name}_postprocess", [BOXES, SCORES, THRESHOLD, *PAST_THE_NETWORK], DETECTIONS),
    ]
    for step, inputs, outputs in steps:
        config.ensemble_scheduling.step.add(
            model_name=step,
            model_version=-1,
            input_map={tensor[0]: tensor[0] for tensor in inputs},
            output_map={tensor[0]: tensor[0] for tensor in outputs},
        )
    config.ensemble_scheduling.step[-1].input_map[THRESHOLD[0]] = IMAGE_THRESHOLD[0]
    return config


def preprocess_config(detector: Detector, device: Device) -> pb.ModelConfig:
    """Decode and resize, warmed up with a real photo."""
    parameters = _as_json(
        input_size_wh=detector.input_size_wh,
        size_multiple=detector.size_multiple,
        interpolation=detector.interpolation,
        scaled_decoding=detector.scaled_decoding,
        budget=device.budget,
    )
    outputs, optional = [PICTURE, IMAGE_THRESHOLD, *PAST_THE_NETWORK], [THRESHOLD, IMG_SIZE, STRICT, TILES]
    config = _config(preprocess_name(detector), [IMAGE], outputs, parameters, optional)
    _run_by(config, "python", device.preprocess_instances)
    _bound_queue(config, device.queue_size)
    # One at a time: for an image that is shorter than the tensor says, Triton fails all that a process takes with it.
    config.dynamic_batching.preferred_batch_size.append(1)
    photo = pb.ModelWarmup.Input(data_type=pb.TYPE_STRING, dims=[1], input_data_file="image")
    _warm_up(config, {"image": photo})
    return config


def postprocess_config(detector: Detector, device: Device) -> pb.ModelConfig:
    """Threshold, NMS, scale back, clip."""
    parameters = _as_json(nms=vars(detector.nms), score_threshold=detector.score_threshold)
    inputs, optional = [BOXES, SCORES, SIZES_WH], [THRESHOLD, *PAST_THE_NETWORK[1:]]
    config = _config(f"{detector.name}_postprocess", inputs, DETECTIONS, parameters, optional)
    _run_by(config, "python", device.postprocess_instances)
    warmup = {"boxes": _zeros(pb.TYPE_FP32, [1, 4]), "scores": _zeros(pb.TYPE_FP32, [1])}
    _warm_up(config, {**warmup, "sizes_wh": _zeros(pb.TYPE_INT32, [2, 2])})
    return config


def onnxruntime_config(detector: Detector, name: str, device: Device) -> pb.ModelConfig:
    """A network by ONNX Runtime, FP32: the normal mode, and on a GPU what serves where there is no engine."""
    parameters = {"intra_op_thread_count": CPU_THREADS, "inter_op_thread_count": "1"}
    if device.kind == GPU.kind:
        parameters = {"cudnn_conv_algo_search": "1"}  # heuristic: batches and sizes vary, each would be searched for
    return _network_config(detector, name, "onnxruntime", device, parameters)


def openvino_config(detector: Detector, device: Device, file_name: str) -> pb.ModelConfig:
    """The network in high-performance mode on a CPU: OpenVINO, bfloat16 where the CPU has it.

    Written for the native backend, whose instances share one compiled network, so that threads and streams are those of
    all together. It would fix the network to batches of `max_batch_size`, hence 0: the batch is an axis like any other.
    """
    shared = {"INFERENCE_NUM_THREADS": str(device.detector_instances), "NUM_STREAMS": str(device.detector_instances)}
    parameters = {**shared, "HINT_BF16": "YES"}
    config = _network_config(detector, f"{detector.name}_hpi_detector", "openvino", device, parameters)
    config.default_model_filename = file_name
    config.max_batch_size = 0
    for tensor in (*config.input, *config.output):
        tensor.dims.insert(0, -1)
    for sample in config.model_warmup:
        sample.inputs["picture"].dims.insert(0, 1)
    del config.dynamic_batching.preferred_batch_size[:]
    return config


def tensorrt_config(detector: Detector) -> pb.ModelConfig:
    """The network in high-performance mode on a GPU: a TensorRT engine, FP16, of one input size."""
    config = _network_config(detector, f"{detector.name}_hpi_detector", "tensorrt", GPU, {})
    config.input[0].dims[:] = [*reversed(detector.input_size_wh), 3]
    return config


def _network_config(
    detector: Detector, name: str, backend: str, device: Device, parameters: dict[str, str]
) -> pb.ModelConfig:
    config = _config(name, [PICTURE], [BOXES, SCORES], parameters)
    _run_by(config, backend, device.detector_instances, device.kind)
    config.dynamic_batching.preferred_batch_size.extend(device.detector_batches)
    width, height = detector.input_size_wh
    _warm_up(config, {"picture": _zeros(pb.TYPE_UINT8, [height, width, 3])})
    return config


def _config(
    name: str,
    inputs: Iterable[Tensor],
    outputs: Iterable[Tensor],
    parameters: dict[str, str],
    optional: Iterable[Tensor] = (),
) -> pb.ModelConfig:
    config = pb.ModelConfig(name=name, max_batch_size=MAX_BATCH_SIZE)
    for tensor_name, data_type, dims in inputs:
        config.input.add(name=tensor_name, data_type=data_type, dims=dims)
    for tensor_name, data_type, dims in optional:
        config.input.add(name=tensor_name, data_type=data_type, dims=dims, optional=True)
    for tensor_name, data_type, dims in outputs:
        config.output.add(name=tensor_name, data_type=data_type, dims=dims)
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return config


def _distinct(variants: dict[str, pb.ModelConfig]) -> dict[str, pb.ModelConfig]:
    return {
        name: config for name, config in variants.items() if not name.startswith("cpu_") or config != variants["cpu"]
    }


def _as_json(**parameters: Any) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in parameters.items()}


def _run_by(config: pb.ModelConfig, backend: str, instances: int, kind: int = CPU.kind) -> None:
    config.backend = backend
    config.dynamic_batching.SetInParent()
    config.instance_group.add(kind=kind, count=instances)


def _bound_queue(config: pb.ModelConfig, queue_size: int) -> None:
    policy = config.dynamic_batching.default_queue_policy
    policy.max_queue_size = queue_size
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = int(QUEUE_TIMEOUT_S * 1e6)
    policy.allow_timeout_override = True


def _warm_up(config: pb.ModelConfig, inputs: dict[str, pb.ModelWarmup.Input]) -> None:
    config.model_warmup.add(name="one image", batch_size=1, inputs=inputs)


def _zeros(data_type: int, dims: list[int]) -> pb.ModelWarmup.Input:
    return pb.ModelWarmup.Input(data_type=data_type, dims=dims, zero_data=True)
