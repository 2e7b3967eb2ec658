"""The settings of the command line, read from a YAML file and `-o`; `training.config_sections` is their schema."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.config_sections import CheckDataset, Config, Evaluate, Export, Global, Mode, Predict, Train
from training.config_values import (
    ConfigError,
    merge,
    parse_override,
    parse_yaml,
    set_override,
    split_override,
    validate,
)
from training.detectors import DETECTORS

__all__ = [
    "CheckDataset",
    "Config",
    "ConfigError",
    "Evaluate",
    "Export",
    "Global",
    "Mode",
    "Predict",
    "Train",
    "dataset_of",
    "load_config",
]

LOG = logging.getLogger(__name__)
CONFIGS = Path(__file__).with_name("configs")

WITHOUT_EFFECT = (
    "Global.export_with_pir",
    "CheckDataset.convert",
    "Train.basic_config_path",
    "Train.dist_ips",
    "Train.dy2st",
    "Train.uniform_output_enabled",
    "Evaluate.basic_config_path",
    "Export.basic_config_path",
    "Predict.engine",
    "Predict.engine_config",
    "Predict.hpi_config",
    "Predict.hpip_config",
    "Predict.kernel_option",
    "Predict.use_hpip",
    "Benchmark",
    "Pdparams2safetensors",
)
"""Settings and sections of PaddleX that mean nothing here; they are taken, and named once."""


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """The settings of a YAML file with `Section.key=value` overrides, the last of equal keys winning.

    Keys that are left out are those of `training/configs/<Global.model>.yaml`.

    Raises:
        ConfigError: an unreadable file, or an unknown key or unsuitable value, with what would be right.
    """
    tree = _read(path)
    ignored = _drop_without_effect(tree)
    for override in overrides:
        name, raw = split_override(override)
        if any(f"{name}.".startswith(f"{key}.") for key in WITHOUT_EFFECT):
            ignored.append(name)
        else:
            set_override(tree, name, parse_override(Config, name, raw))
    if ignored:
        LOG.warning("settings of PaddleX that have no effect here: %s", ", ".join(dict.fromkeys(ignored)))
    section = tree.get("Global")
    model = section.get("model") if isinstance(section, dict) else None
    defaults = CONFIGS / f"{model}.yaml"
    if isinstance(model, str) and model in DETECTORS and defaults.is_file():
        tree = merge(_read(defaults), tree)
    return validate(Config, merge({section: {} for section in Config.model_fields}, tree))


def dataset_of(config: Config) -> Path:
    """The folder `Global.dataset_dir`; ConfigError if none is given."""
    if config.Global.dataset_dir is None:
        raise ConfigError("no data set is given; add -o Global.dataset_dir=FOLDER")
    return Path(config.Global.dataset_dir)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    return parse_yaml(text, str(path))


def _drop_without_effect(tree: dict[str, Any]) -> list[str]:
    """Take the settings `WITHOUT_EFFECT` out of the tree; their names."""
    dropped = []
    for name in WITHOUT_EFFECT:
        section, _, key = name.rpartition(".")
        holder = tree.get(section) if section else tree
        if isinstance(holder, dict) and key in holder:
            del holder[key]
            dropped.append(name)
    return dropped
