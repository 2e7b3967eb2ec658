"""Plain values from YAML or the command line into typed dataclasses, with errors for people."""

from __future__ import annotations

import difflib
import math
import re
import sys
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

Schema = TypeVar("Schema")
FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # YAML 1.1 takes 1e-3 for text
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


class ConfigError(ValueError):
    """A setting that does not exist or has an unsuitable value."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a number, for `Annotated`; the least value itself is allowed unless `exclusive`."""

    least: float
    most: float = math.inf
    exclusive: bool = False

    def __contains__(self, value: float) -> bool:
        return value <= self.most and (value > self.least if self.exclusive else value >= self.least)

    def __str__(self) -> str:
        if self.most < math.inf:
            return f"from {self.least} to {self.most}" if self.least < self.most else f"equal to {self.least}"
        return f"above {self.least}" if self.exclusive else f"of at least {self.least}"


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
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{source} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{source} holds no sections such as `Global:`")
    return tree


def parse_override(schema: type, text: str) -> tuple[list[str], Any]:
    """Keys and value of `Section.key=value`, the value read as YAML.

    Where the key takes text, the value is taken literally unless it is null, quoted, or a list that the key takes:
    `a: b.jpg`, `#1.jpg` and `2024` are file names.
    """
    name, separator, raw = text.partition("=")
    if not separator or not name.strip():
        raise ConfigError(f"-o {text!r} is not of the form Section.key=value")
    keys = name.strip().split(".")
    kind: Any = schema
    for i, key in enumerate(keys):
        if not is_dataclass(kind):
            raise ConfigError(f"{'.'.join(keys[:i])} is a value and has no key {key!r}")
        hints = get_type_hints(kind, include_extras=True)
        if key not in hints:
            raise _unknown(name.strip(), keys[:i], hints, schema)
        kind = hints[key]
    if is_dataclass(kind):
        inside = ", ".join(f"{name.strip()}.{field.name}" for field in fields(kind))
        raise ConfigError(f"{name.strip()} is a section; set one of its keys: {inside}")
    try:
        value = yaml.load(raw, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        value = raw
    options = options_of(kind)
    if str in options:
        quoted = raw.strip()[:1] in ("'", '"') and isinstance(value, str)
        is_list = isinstance(value, list) and any(get_origin(option) is list for option in options)
        is_null = value is None and raw.strip() != ""
        if not (quoted or is_list or is_null):
            value = raw
    return keys, value


def set_override(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    """Put a value into the tree, making the sections on its way."""
    for key in keys[:-1]:
        if not isinstance(tree.get(key), dict):
            tree[key] = {}
        tree = tree[key]
    tree[keys[-1]] = value


def build(schema: type[Schema], tree: Any, path: str = "", top: type | None = None) -> Schema:
    """An instance of the dataclass, sections within it included; ConfigError at the first thing that does not fit."""
    top = top or schema
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} is {tree!r}; expected a section with the keys {_listed(schema)}")
    hints = get_type_hints(schema, include_extras=True)
    for key in tree:
        if key not in hints:
            raise _unknown(f"{path}.{key}" if path else str(key), path.split(".") if path else [], hints, top)
    values = {}
    for field in fields(schema):
        name = f"{path}.{field.name}" if path else field.name
        if is_dataclass(hints[field.name]):
            values[field.name] = build(hints[field.name], tree.get(field.name), name, top)
        elif field.name in tree:
            values[field.name] = check_value(name, tree[field.name], hints[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{name} is missing; expected {expected(hints[field.name])}")
    return schema(**values)


def check_value(name: str, value: Any, kind: Any) -> Any:
    """The value as `kind` has it (a whole number where a float is wanted becomes one); ConfigError otherwise."""
    for option in options_of(kind):
        found = _fit(value, option)
        if found is not MISSING:
            return found
    words = [word for option in options_of(kind) if get_origin(option) is Literal for word in get_args(option)]
    shown = "null" if value is None else repr(value)
    raise ConfigError(f"{name} is {shown}; expected {expected(kind)}{_nearest(str(value), words)}")


def _fit(value: Any, kind: Any) -> Any:
    """The value as `kind`, or MISSING."""
    if get_origin(kind) is Annotated:
        inner, bounds = get_args(kind)
        found = _fit(value, inner)
        return found if found is not MISSING and found in bounds else MISSING
    if get_origin(kind) is Literal:
        return value if isinstance(value, str) and value in get_args(kind) else MISSING
    if get_origin(kind) is list:
        items = [_fit(item, get_args(kind)[0]) for item in value] if isinstance(value, list) else [MISSING]
        return MISSING if MISSING in items else items
    if kind is float and type(value) in (int, float):
        return float(value) if abs(value) <= sys.float_info.max else MISSING  # NaN fails the comparison
    return value if type(value) is kind and value != "" else MISSING


def expected(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) is Annotated:
        inner, bounds = get_args(kind)
        return f"{expected(inner)} {bounds}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is list:
        return f"a list, each item {expected(get_args(kind)[0])}"
    return NAMES[kind] if kind in NAMES else " or ".join(map(expected, options_of(kind)))


def options_of(kind: Any) -> tuple[Any, ...]:
    """The members of a union; the type itself if it is none."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def leaves(schema: type, path: str = "") -> dict[str, Any]:
    """`{full key: type}` of all values of a schema."""
    found: dict[str, Any] = {}
    for key, kind in get_type_hints(schema, include_extras=True).items():
        name = f"{path}.{key}" if path else key
        found |= leaves(kind, name) if is_dataclass(kind) else {name: kind}
    return found


def _unknown(name: str, section: list[str], hints: dict[str, Any], top: type) -> ConfigError:
    """The error for a full key whose first part, `section`, is known."""
    siblings = [".".join([*section, sibling]) for sibling in hints]
    near = _nearest(name, [*leaves(top), *siblings])
    return ConfigError(f"there is no setting {name}{near}; known here are: {', '.join(hints)}")


def _nearest(word: str, words: list[str]) -> str:
    by_lower = {candidate.lower(): candidate for candidate in words}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def _listed(schema: type) -> str:
    return ", ".join(field.name for field in fields(schema))
