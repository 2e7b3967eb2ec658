"""Numbers as callers have them: Python's, numpy's, numpy's arrays without axes. A bool is none."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Union

import numpy as np

Whole = Union[int, "np.integer[Any]"]
Number = Union[float, "np.floating[Any]", Whole]


def whole_number(value: object) -> int | None:
    """The value as an int; None for anything but a whole number's type (640.0 is a float)."""
    scalar = _scalar(value)
    return int(scalar) if isinstance(scalar, Integral) and not isinstance(scalar, bool) else None


def number(value: object) -> float | None:
    """The value as a float, which may be NaN or infinite; None for anything but a number."""
    scalar = _scalar(value)
    return float(scalar) if isinstance(scalar, Real) and not isinstance(scalar, bool) else None


def _scalar(value: object) -> object:
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
