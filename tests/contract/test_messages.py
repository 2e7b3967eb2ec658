"""The messages that docs/troubleshooting.md explains are those of the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from training.paths import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
REST = "..."


@cache
def templates() -> frozenset[str]:
    """All texts of the code and the Makefile, what is computed in them as `...`."""
    found = {" ".join((ROOT / "Makefile").read_text().replace("%s is %d.%d", f"{REST} is {REST}").split())}
    found = {text.replace("$(PYTHON)", REST).replace(f"{REST} {REST}", REST) for text in found}
    for folder in ("client/tritonface", "server/tritonface_server", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            found.update(texts(ast.parse(path.read_text())))
    return frozenset(found)


def texts(tree: ast.AST) -> Iterator[str]:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docstrings:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[.\w]*[sdf]", REST, node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else REST for part in node.values)


def stands_in(message: str, template: str) -> bool:
    """Whether the pieces of the message stand in the text, in their order."""
    return re.search(".*".join(map(re.escape, message.split(REST))), template, re.DOTALL) is not None


def test_the_page_has_messages() -> None:
    assert len(MESSAGES) > 30


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_stands_in_the_source(message: str) -> None:
    assert any(stands_in(message, template) for template in templates())
