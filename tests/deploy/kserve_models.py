"""What the models of the package kserve say of resources: prints what they do not know, or miss, a line each.

Takes a list of resources as JSON from the standard input. Run by the Python of build/kubernetes. Types of Kubernetes
itself, such as containers, are left to its schemas.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

import kserve

PRIMITIVES = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def problems(value: object, kind: str, path: str) -> Iterator[str]:
    """Of a value that is to be of this type, in the words of the models."""
    if match := re.fullmatch(r"list\[(.*)\]", kind):
        for index, each in enumerate(value):
            yield from problems(each, match[1], f"{path}/{index}")
    elif match := re.fullmatch(r"dict\(str, (.*)\)", kind):
        for key, each in value.items():
            yield from problems(each, match[1], f"{path}/{key}")
    elif hasattr(kserve, kind):
        yield from problems_of_model(value, getattr(kserve, kind), path)
    elif kind in PRIMITIVES and not isinstance(value, PRIMITIVES[kind]):
        yield f"{path}: {value!r} is no {kind}"


def problems_of_model(value: dict, model: type, path: str) -> Iterator[str]:
    names = {of_json: name for name, of_json in model.attribute_map.items()}
    for key in value.keys() - names.keys():
        yield f"{path}/{key}: unknown to {model.__name__}"
    known = {names[key]: each for key, each in value.items() if key in names}
    try:
        model(**known)
    except ValueError as error:
        yield f"{path}: {error}"
    for name, each in known.items():
        yield from problems(each, model.openapi_types[name], f"{path}/{model.attribute_map[name]}")


for resource in json.load(sys.stdin):
    version = resource["apiVersion"].rpartition("/")[2]
    for problem in problems(resource, "V" + version[1:] + resource["kind"], resource["kind"]):
        print(problem)
