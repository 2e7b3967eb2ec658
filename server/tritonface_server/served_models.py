"""Which models of a repository serve which detector, as their configurations say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonface_server.model_names import VARIANTS, model_names


def read_config(folder: Path, config_name: str = "") -> pb.ModelConfig | None:
    """What Triton reads of a model's folder with this `--model-config-name`; None where that is no configuration."""
    named = folder / "configs" / f"{config_name}.pbtxt"
    try:
        text = (named if named.is_file() else folder / "config.pbtxt").read_text()
        return text_format.Parse(text, pb.ModelConfig())
    except (OSError, ValueError, text_format.ParseError):
        return None  # Triton says what is wrong with it


def steps_of(repository: Path, ensemble: str) -> list[str]:
    """The models that an ensemble runs, in their order; none where it is not there, or no ensemble."""
    config = read_config(repository / ensemble)
    return [step.model_name for step in config.ensemble_scheduling.step] if config else []


def preprocess_of(repository: Path, name: str) -> str | None:
    """The model that decodes for a detector, as its ensemble says; None where that is not there."""
    return next(iter(steps_of(repository, name)), None)


def fits(step: Path, ensemble: Path) -> bool:
    """Whether a model has all inputs and outputs by which an ensemble calls it; one of an earlier version may not."""
    model, config = read_config(step), read_config(ensemble)
    if model is None or config is None:
        return False
    inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (model.input, model.output))
    calls = [call for call in config.ensemble_scheduling.step if call.model_name == step.name]
    return all(inputs.issuperset(call.input_map) and outputs.issuperset(call.output_map) for call in calls)


def models_of(repository: Path, detectors: Iterable[str]) -> list[str]:
    """All models that serve these detectors, those that they share once, the ensembles last."""
    ensembles = [
        name + variant for name in detectors for variant in VARIANTS if (repository / (name + variant)).is_dir()
    ]
    steps = [step for ensemble in ensembles for step in steps_of(repository, ensemble)]
    return list(dict.fromkeys([*steps, *ensembles]))


def all_models(repository: Path) -> list[str]:
    """All models that a repository holds."""
    return sorted(config.parent.name for config in repository.glob("*/config.pbtxt"))


def is_used(repository: Path, step: str, except_by: str = "") -> bool:
    """Whether a model is a step of an ensemble, other than those of the detector `except_by`."""
    ensembles = set(all_models(repository)) - set(model_names(except_by))
    return any(step in steps_of(repository, ensemble) for ensemble in ensembles)
