"""What pydantic finds wrong with a value, in words that follow the value's name."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import ErrorDetails

SHOWN_CHARACTERS = 200  # of a value


def value_and_reason(error: ErrorDetails) -> tuple[str, str]:
    """The value as it was given, and why it is not taken: `-3` and `it should be greater than 0`."""
    value = error["input"]
    shown = "null" if value is None else repr(value)
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[: SHOWN_CHARACTERS - 3] + "..."
    if error["type"] == "value_error":
        return shown, str(error["ctx"]["error"])
    if error["type"] == "model_type":
        return shown, "it should be an object"
    _, _, rest = error["msg"].partition(" ")  # behind "Input", "String", "List"
    return shown, f"it {rest}"


def items_of(location: Iterable[str | int]) -> str:
    """The place within a value, from pydantic's location behind the value's name: `[2]`."""
    return "".join(f"[{part}]" for part in location if isinstance(part, int))
