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
from training.detectors.description import DetectorDescription
from training.recipes import RECIPES

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

    Keys that are left out are those of `Train.recipe`, then those of `training/configs/<Global.model>.yaml`. What
    stands in that very file counts as left out, so that a recipe may have values of its own.

    Raises:
        ConfigError: an unreadable file, or an unknown key or unsuitable value, with what would be right.
    """
    own: dict[str, Any] = {}
    tree = _read(path)
    ignored = _drop_without_effect(tree)
    for override in overrides:
        name, raw = split_override(override)
        if any(f"{name}.".startswith(f"{key}.") for key in WITHOUT_EFFECT):
            ignored.append(name)
        else:
            set_override(own, name, parse_override(Config, name, raw))
    if ignored:
        LOG.warning("settings of PaddleX that have no effect here: %s", ", ".join(dict.fromkeys(ignored)))
    model = _value_of(merge(tree, own), "Global", "model")
    defaults = CONFIGS / f"{model}.yaml"
    if isinstance(model, str) and model in DETECTORS and defaults.is_file():
        if path.resolve() != defaults.resolve():
            own = merge(tree, own)
        tree = _with_recipe(_read(defaults), own, DETECTORS[model])
    else:
        tree = merge(tree, own)
    return validate(Config, merge({section: {} for section in Config.model_fields}, tree))


def dataset_of(config: Config) -> Path:
    """The folder `Global.dataset_dir`; ConfigError if none is given."""
    if config.Global.dataset_dir is None:
        raise ConfigError("no data set is given; add -o Global.dataset_dir=FOLDER")
    return Path(config.Global.dataset_dir)


def _with_recipe(below: dict[str, Any], above: dict[str, Any], detector: DetectorDescription) -> dict[str, Any]:
    """Both trees, with the recipe's own settings between them."""
    merged = merge(below, above)
    recipe = _value_of(merged, "Train", "recipe")
    if not isinstance(recipe, str) or recipe not in RECIPES:
        return merged
    return merge(merge(below, {"Train": RECIPES[recipe].settings_of(detector)}), above)


def _value_of(tree: dict[str, Any], section: str, key: str) -> Any:
    """A value of the tree, or None."""
    holder = tree.get(section)
    return holder.get(key) if isinstance(holder, dict) else None


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
