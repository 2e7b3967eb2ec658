"""YAML text and `Section.key=value` overrides into a pydantic model, with errors for people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from training.validation_errors import items_of, value_and_reason

Schema = TypeVar("Schema", bound=BaseModel)
FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # YAML 1.1 takes 1e-3 for text
NULLS = ("null", "Null", "NULL", "~")
YAML_ERRORS = (yaml.YAMLError, ValueError, TypeError, RecursionError)


class ConfigError(ValueError):
    """A setting that does not exist or has an unsuitable value."""


class Section(BaseModel):
    """Settings that belong together: no other keys, and no value of another type than the declared one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _Loader(yaml.SafeLoader):
    """YAML whose `1e-3` is a number and where a key may not come twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^(?:{FLOAT.pattern})$"), list("-+.0123456789"))


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """The sections of a YAML text; ConfigError, naming `source`, if it is not that."""
    try:
        tree = yaml.load(text, _Loader)
    except YAML_ERRORS as error:
        raise ConfigError(f"{source} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{source} holds no sections such as `Global:`")
    return tree


def split_override(text: str) -> tuple[str, str]:
    """Key and value of `Section.key=value`, both still text."""
    name, separator, raw = text.partition("=")
    if not separator or not name.strip():
        raise ConfigError(f"-o {text!r} is not of the form Section.key=value")
    return name.strip(), raw


def parse_override(schema: type[BaseModel], name: str, raw: str) -> Any:
    """The value for a key, read as YAML.

    Where the key takes text, the value is taken literally unless it is null, quoted, or a list that the key takes:
    `a: b.jpg`, `b #1.jpg` and `2024` are file names.
    """
    keys = name.split(".")
    section = schema
    for i, key in enumerate(keys):
        if key not in section.model_fields:
            raise ConfigError(_unknown(schema, keys[:i], name, section))
        kind = section.model_fields[key].annotation
        if not _is_section(kind):
            if keys[i + 1 :]:
                raise ConfigError(f"{'.'.join(keys[: i + 1])} is a value and has no key {keys[i + 1]!r}")
            return _value(kind, raw)
        section = kind
    inside = ", ".join(f"{name}.{key}" for key in section.model_fields)
    raise ConfigError(f"{name} is a section; set one of its keys: {inside}")


def set_override(tree: dict[str, Any], name: str, value: Any) -> None:
    """Put a value into the tree, making the sections on its way."""
    *sections, key = name.split(".")
    for section in sections:
        if not isinstance(tree.get(section), dict):
            tree[section] = {}
        tree = tree[section]
    tree[key] = value


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both trees, `above` deciding where both have a value; its empty sections decide nothing."""
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        if isinstance(lower, dict) and (value is None or isinstance(value, dict)):
            merged[key] = merge(lower, value or {})
        else:
            merged[key] = value
    return merged


def validate(schema: type[Schema], tree: dict[str, Any]) -> Schema:
    """An instance of the schema; ConfigError with one part for every setting that does not fit."""
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        reasons: dict[str, list[str]] = {}
        for found in error.errors(include_url=False):
            setting, reason = _explain(schema, found)
            reasons.setdefault(setting, []).append(reason)
    parts = [f"{setting}{' or '.join(dict.fromkeys(found))}" for setting, found in reasons.items()]
    raise ConfigError("; ".join(parts))


def leaves(schema: type[BaseModel], path: str = "") -> Iterator[str]:
    """The full names of all values of a schema."""
    for key, field in schema.model_fields.items():
        if _is_section(field.annotation):
            yield from leaves(field.annotation, f"{path}{key}.")
        else:
            yield path + key


def _value(kind: Any, raw: str) -> Any:
    """The YAML value if the key takes it, the text as it stands otherwise."""
    try:
        value = yaml.load(raw, _Loader)
    except YAML_ERRORS:
        return raw
    quoted = raw.strip()[:1] in ("'", '"')
    if (isinstance(value, str) and not quoted) or (value is None and raw.strip() not in NULLS):
        return raw  # YAML would drop what follows a #
    fits = TypeAdapter(kind, config=Section.model_config)
    try:
        fits.validate_python(raw)
    except ValidationError:
        return value
    try:
        fits.validate_python(value)
    except ValidationError:
        return value if value is None else raw
    return value


def _explain(schema: type[BaseModel], error: ErrorDetails) -> tuple[str, str]:
    """What a pydantic error is about, and its reason; the two joined make a sentence."""
    keys, section = [str(error["loc"][0])] if error["loc"] else [], schema
    for key in error["loc"][1:]:  # what follows the last section names items and members of unions
        kind = section.model_fields[keys[-1]].annotation if keys[-1] in section.model_fields else None
        if not _is_section(kind):
            break
        section = kind
        keys.append(str(key))
    name = ".".join(keys)
    if error["type"] in ("extra_forbidden", "invalid_key"):
        return "", _unknown(schema, keys[:-1], name, section)
    if error["type"] == "missing":
        return name, " is missing"
    if error["type"] == "value_error":
        return "", str(error["ctx"]["error"])
    if error["type"] == "model_type":
        kind = section.model_fields[keys[-1]].annotation
        return f"{name} is {error['input']!r}; ", f"it should be a section with the keys {', '.join(kind.model_fields)}"
    value, reason = value_and_reason(error)
    words = re.findall("'([^']*)'", error["ctx"]["expected"]) if error["type"] == "literal_error" else []
    return f"{name}{items_of(error['loc'][len(keys) :])} is {value}; ", reason + _nearest(str(error["input"]), words)


def _unknown(schema: type[BaseModel], known: list[str], name: str, section: type[BaseModel]) -> str:
    """Says that there is no setting `name`, whose first parts, `known`, are those of a section."""
    siblings = [".".join([*known, sibling]) for sibling in section.model_fields]
    near = _nearest(name, [*leaves(schema), *siblings])
    return f"there is no setting {name}{near}; known here are: {', '.join(section.model_fields)}"


def _nearest(word: str, words: list[str]) -> str:
    by_lower = {candidate.lower(): candidate for candidate in words}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
