"""Why Triton and its native backends would refuse a configuration, by the rules in their sources.

Of triton-inference-server: core (src/model_config_utils.cc, src/ensemble_scheduler/ensemble_utils.cc),
onnxruntime_backend (src/onnxruntime.cc, src/onnxruntime_utils.cc), openvino_backend (src/openvino.cc,
src/openvino_utils.cc), tensorrt_backend (src/instance_state.cc, src/tensorrt_utils.cc), python_backend
(src/python_be.cc). Each function yields its reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tritonclient.grpc import model_config_pb2 as pb

GROUP = pb.ModelInstanceGroup
PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan", "openvino": "", "python": ""}
KINDS = {
    "onnxruntime": {GROUP.KIND_CPU, GROUP.KIND_GPU},
    "openvino": {GROUP.KIND_CPU},
    "tensorrt": {GROUP.KIND_GPU},
    "python": {GROUP.KIND_CPU},  # its steps use no GPU
}
COUNT = {str(number) for number in range(257)}
YES = {"yes", "YES"}
ONNXRUNTIME_PARAMETERS = {
    "execution_mode": {"0", "1"},
    "intra_op_thread_count": COUNT,
    "inter_op_thread_count": COUNT,
    "enable_mem_arena": {"0", "1"},
    "enable_mem_pattern": {"0", "1"},
    "memory.enable_memory_arena_shrinkage": {"cpu:0", "gpu:0", "cpu:0;gpu:0"},
    "cudnn_conv_algo_search": {"0", "1", "2"},
    "arena_extend_strategy": {"0", "1"},
    "do_copy_in_default_stream": {"0", "1"},
}
OPENVINO_PARAMETERS = {
    "INFERENCE_NUM_THREADS": COUNT,
    "COMPILATION_NUM_THREADS": COUNT,
    "HINT_BF16": YES,
    "NUM_STREAMS": COUNT | {"auto", "numa"},
    "PERFORMANCE_HINT": {"latency", "throughput", "cumulative_throughput"},
    "SKIP_OV_DYNAMIC_BATCHSIZE": YES,
    "ENABLE_BATCH_PADDING": YES,
    "RESHAPE_IO_LAYERS": YES,
    "TARGET_DEVICE": {"CPU"},
}
PARAMETERS = {
    "onnxruntime": ONNXRUNTIME_PARAMETERS,
    "openvino": OPENVINO_PARAMETERS,
    "tensorrt": {"execution_context_allocation_strategy": {"STATIC", "ON_PROFILE_CHANGE"}},
}
ACCELERATORS = {"gpu_execution_accelerator": {"tensorrt", "cuda"}, "cpu_execution_accelerator": {"openvino"}}
Tensors = Mapping[str, tuple[int, Sequence[int]]]
"""Of a network: `{name: (Triton's data type, shape with the batch axis, -1 for what is free)}`."""


def core(config: pb.ModelConfig) -> Iterator[str]:
    """ValidateModelConfig, ValidateInstanceGroup, ValidateIOShape."""
    if not config.name:
        yield "no name"
    is_ensemble = config.HasField("ensemble_scheduling")
    if is_ensemble != (config.platform == "ensemble") or is_ensemble == bool(config.backend):
        yield f"an ensemble has the platform 'ensemble' and no backend, got {config.platform!r}, {config.backend!r}"
    elif not is_ensemble and config.platform not in ("", PLATFORMS.get(config.backend, "")):
        yield f"unexpected pair {config.platform}, {config.backend}"
    if config.max_batch_size < 0:
        yield "max_batch_size is negative"
    batching = config.dynamic_batching
    for size in batching.preferred_batch_size:
        if not 0 < size <= config.max_batch_size:
            yield f"preferred batch size {size} of at most {config.max_batch_size}"
    if batching.priority_levels and not 0 < batching.default_priority_level <= batching.priority_levels:
        yield "default priority level"
    for tensor in (*config.input, *config.output):
        yield from _shape(tensor, config.max_batch_size)
    for names in ([tensor.name for tensor in config.input], [tensor.name for tensor in config.output]):
        if len(set(names)) < len(names):
            yield f"a name twice among {names}"
    yield from _instances(config, is_ensemble)
    for sample in config.model_warmup:
        yield from _warmup(config, sample)


def _shape(tensor: pb.ModelInput | pb.ModelOutput, max_batch_size: int) -> Iterator[str]:
    if not tensor.name or not tensor.data_type or not tensor.dims:
        yield f"tensor {tensor.name!r} lacks a name, a type or dims"
    shapes = [tensor.dims, tensor.reshape.shape] if tensor.HasField("reshape") else [tensor.dims]
    if any(dim < 1 and dim != -1 for shape in shapes for dim in shape):
        yield f"a dimension of {tensor.name} is neither -1 nor 1 and more"
    if len(shapes) == 2 and _blocks(shapes[0]) != _blocks(shapes[1]):
        yield f"dims and reshape of {tensor.name} differ in size"
    if len(shapes) == 2 and not shapes[1] and not max_batch_size:
        yield f"{tensor.name} would be a scalar"
    if tensor.is_shape_tensor or getattr(tensor, "is_non_linear_format_io", False):
        yield f"{tensor.name} is for TensorRT alone"


def _blocks(shape: Sequence[int]) -> list[int]:
    """Elements between free dimensions: what a reshape has to keep."""
    blocks = [1]
    for dim in shape:
        if dim == -1:
            blocks.append(1)
        else:
            blocks[-1] *= dim
    return blocks


def _instances(config: pb.ModelConfig, is_ensemble: bool) -> Iterator[str]:
    if is_ensemble:
        if config.instance_group or config.HasField("optimization") or config.model_warmup:
            yield "an ensemble has instances, an optimisation or a warm-up"
        if config.HasField("dynamic_batching"):
            yield "an ensemble's own scheduler is the ensemble's, dynamic batching belongs to its steps"
        return
    if not config.instance_group:
        yield "no instance group"
    for group in config.instance_group:
        if group.gpus and group.kind != GROUP.KIND_GPU:
            yield "GPUs for instances of another kind"
        if group.profile and (config.backend != "tensorrt" or not all(each.isdecimal() for each in group.profile)):
            yield f"profiles {[*group.profile]}"


def _warmup(config: pb.ModelConfig, sample: pb.ModelWarmup) -> Iterator[str]:
    known = {tensor.name: tensor for tensor in config.input}
    if not set(sample.inputs) <= known.keys():
        yield f"warm-up of unknown inputs {sorted(sample.inputs)}"
    if not {name for name, tensor in known.items() if not tensor.optional} <= set(sample.inputs):
        yield "the warm-up lacks an input"
    if not 1 <= sample.batch_size <= max(1, config.max_batch_size):
        yield f"warm-up of {sample.batch_size}"
    for name, data in sample.inputs.items():
        if name in known and (data.data_type != known[name].data_type or not agree(data.dims, known[name].dims)):
            yield f"warm-up of {name} with another type or shape"


def agree(one: Sequence[int], other: Sequence[int]) -> bool:
    """CompareDimsWithWildcard."""
    return len(one) == len(other) and all(-1 in pair or pair[0] == pair[1] for pair in zip(one, other))


def full_dims(tensor: pb.ModelInput | pb.ModelOutput, config: pb.ModelConfig) -> list[int]:
    """Its shape with the batch axis, which a model with a `max_batch_size` does not write."""
    return [-1, *tensor.dims] if config.max_batch_size else list(tensor.dims)


def ensemble(config: pb.ModelConfig, step_config: Callable[[str], pb.ModelConfig]) -> Iterator[str]:
    """ValidateEnsembleSchedulingConfig, ValidateTensorMapping, ValidateEnsembleConfig."""
    types = {tensor.name: (tensor.data_type, full_dims(tensor, config)) for tensor in (*config.input, *config.output)}
    written = {tensor.name for tensor in config.input}
    used = {tensor.name for tensor in config.output}
    if not config.ensemble_scheduling.step:
        yield "no step"
    for step in config.ensemble_scheduling.step:
        model = step_config(step.model_name)
        if model.max_batch_size and model.max_batch_size < config.max_batch_size:
            yield f"{model.name} takes smaller batches than its ensemble"
        for tensors, mapping in ((model.input, step.input_map), (model.output, step.output_map)):
            there = {tensor.name: tensor for tensor in tensors}
            if not mapping or not set(mapping) <= there.keys():
                yield f"{model.name} is mapped to what it has not: {sorted(mapping)}"
            for name, of_ensemble in mapping.items():
                if name in there:
                    own = (there[name].data_type, full_dims(there[name], model))
                    before = types.setdefault(of_ensemble, own)
                    if own[0] != before[0] or not agree(own[1], before[1]):
                        yield f"{of_ensemble} is {before} before, {own} in {model.name}"
        if missing := {tensor.name for tensor in model.input if not tensor.optional} - set(step.input_map):
            yield f"{model.name} lacks {sorted(missing)}"
        if unwritten := set(step.input_map.values()) - written:
            yield f"nothing before {model.name} writes {sorted(unwritten)}"
        if twice := written & set(step.output_map.values()):
            yield f"{sorted(twice)} is written twice"
        used |= set(step.input_map.values())
        written |= set(step.output_map.values())
    if loose := written ^ used:
        yield f"written or used alone: {sorted(loose)}"


def backend(config: pb.ModelConfig) -> Iterator[str]:
    """What a backend says of a configuration without looking at the network."""
    if config.backend not in KINDS:
        yield f"backend {config.backend!r}"
        return
    if any(group.kind not in KINDS[config.backend] for group in config.instance_group):
        yield f"instances of a kind that {config.backend} has not"
    known = PARAMETERS.get(config.backend)
    for name, parameter in config.parameters.items() if known is not None else ():
        if parameter.string_value not in known.get(name, ()):
            yield f"parameter {name} = {parameter.string_value}"
    if config.backend == "python" and config.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value not in ("", *YES):
        yield "tensors of the network may come in the memory of the GPU, and the steps read them with numpy"
    accelerators = config.optimization.execution_accelerators
    for where, names in ACCELERATORS.items():
        for accelerator in getattr(accelerators, where):
            if config.backend != "onnxruntime" or accelerator.name not in names:
                yield f"unknown execution accelerator {accelerator.name}"


def network(config: pb.ModelConfig, tensors: Tensors) -> Iterator[str]:
    """CompareDimsSupported of each backend, and the types; a name that is not there is refused by all."""
    if len(config.input) != sum(tensor.name in tensors for tensor in config.input):
        yield "inputs that the network has not"
    for tensor in (*config.input, *config.output):
        data_type, shape = tensors.get(tensor.name, (0, ()))
        dims, exact = full_dims(tensor, config), config.backend == "onnxruntime" and isinstance(tensor, pb.ModelOutput)
        if data_type != tensor.data_type:
            yield f"{tensor.name} has another type in the network"
        if config.max_batch_size and [*shape[:1]] != [-1]:
            yield f"batches of {tensor.name}, whose first axis is not free in the network"
        if len(dims) != len(shape) or not all(_fits(config.backend, *pair, exact) for pair in zip(shape, dims)):
            yield f"{tensor.name} is {dims} here, {[*shape]} in the network"
    if config.backend == "openvino" and config.max_batch_size:
        yield "the network would be fixed to that batch, every other one refused"


def _fits(backend_name: str, of_network: int, of_config: int, exact: bool) -> bool:
    if backend_name == "tensorrt":
        return -1 in (of_network, of_config) or of_network == of_config
    return of_network == of_config or (of_network == -1 and not exact)


def profile(config: pb.ModelConfig, smallest: Sequence[int], largest: Sequence[int]) -> Iterator[str]:
    """Whether what clients may send to an engine lies in its optimisation profile: MaximumDims, ValidateDimension."""
    if not smallest[0] <= 1 or config.max_batch_size > largest[0]:
        yield f"batches of 1 to {config.max_batch_size}, the profile has {smallest[0]} to {largest[0]}"
    (picture,) = config.input
    if not all(low <= dim <= high for dim, low, high in zip(picture.dims, smallest[1:], largest[1:], strict=True)):
        yield f"{[*picture.dims]} is not within {[*smallest[1:]]} and {[*largest[1:]]}"
