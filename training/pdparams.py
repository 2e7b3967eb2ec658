"""Paddle's `.pdparams` files to arrays; such a file is a pickle, so it is read as a hostile one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.array_pickle import ArrayBox, RefusedError, load
from training.weights import WeightsError

MAX_FILE_BYTES = 256 * 2**20

NAME_TABLE = "StructuredToParameterName@@"  # bookkeeping of Paddle, of no use here
SPLIT_TABLE = "UnpackBigParamInfor@@"  # its presence says that tensors of more than 1 GiB were cut in pieces


class PdparamsError(WeightsError):
    """A `.pdparams` file that is damaged, too large, or asks for more than arrays."""


def read_pdparams(path: Path, max_bytes: int = MAX_FILE_BYTES) -> dict[str, np.ndarray]:
    """The arrays of a `.pdparams` file (pickle protocols 2 to 5), contiguous and in native byte order.

    Raises:
        PdparamsError: naming what is wrong; nothing in the file has been executed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise PdparamsError(f"cannot read weights from {path}: {error}") from error
    if len(data) > max_bytes:
        raise PdparamsError(f"{path} has more than {max_bytes:,} bytes, the limit for a .pdparams file")
    try:
        return _arrays(load(data))
    except RefusedError as error:
        raise PdparamsError(f"{path} is refused: {error}") from None
    except Exception as error:  # pickle: damaged data may raise anything
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PdparamsError(f"{path} is damaged or not a .pdparams file ({problem:.200})") from error


def _arrays(content: object) -> dict[str, np.ndarray]:
    if not isinstance(content, dict):
        raise RefusedError(f"it holds a {type(content).__name__} instead of a dict of arrays")
    if SPLIT_TABLE in content:
        raise RefusedError("it holds tensors of more than 1 GiB cut in pieces, which no face detector has")
    arrays = {}
    for name, value in content.items():
        if name == NAME_TABLE:
            continue
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
            value = value[1]  # (parameter name, array)
        if not isinstance(name, str):
            raise RefusedError(f"it names an entry with a {type(name).__name__} instead of a text")
        if not isinstance(value, ArrayBox) or value.array is None:
            kind = "damaged array" if isinstance(value, ArrayBox) else type(value).__name__
            raise RefusedError(f"its entry {name!r:.100} is a {kind} instead of an array")
        arrays[name] = value.array
    return arrays
