"""The arguments of `create_model` and its twin, listed and checked once; and those of `predict`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Union

import numpy as np
import numpy.typing as npt

from tritonface._connection import Connection
from tritonface._errors import InvalidArgumentError
from tritonface._fetch import UrlPolicy
from tritonface._limits import MAX_SIDE_PX, MIN_TILE_SIDE_PX
from tritonface._numbers import Number, Whole, number, whole_number

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")

Size = Union[Whole, Sequence[Whole], "npt.NDArray[np.integer[Any]]"]

DEFAULT_DETECTOR = "PP-YOLOE_plus-S_face"
"""Of the command line: the one of the project's that finds most."""
MAX_SIDES_PX = range(16, 2**16)
IN_PADDLEX = {
    "pp_option": "the server decides how and where a network runs; device= makes sure of a device, use_hpip=True asks "
    "for the high-performance variant",
    "hpi_config": "the high-performance variant is configured on the server; use_hpip=True asks for it",
}
"""Arguments of PaddleX's `create_model` that choose how a network runs in the caller's process, and what is here."""

OF_THE_CONNECTION = {field.name for field in dataclasses.fields(Connection)}


class Options:
    """The arguments of `create_model`, which describes them; an attribute each, checked, but for `pp_option` etc.

    Raises:
        InvalidArgumentError: one of them is of no use, as far as this can be told without a server.
    """

    def __init__(
        self,
        model_name: str,
        model_dir: str | os.PathLike[str] | None = None,
        *,
        device: str | None = None,
        img_size: Size | None = None,
        threshold: Number | None = None,
        use_hpip: bool = False,
        batch_size: Whole = 1,
        url: str | Sequence[str] | None = None,
        protocol: str | None = None,
        connection: Connection | None = None,
        urls: UrlPolicy | None = None,
        max_side_px: Whole | None = None,
        timings: bool = False,
        strict: bool = False,
        tiles: Size | None = None,
        pp_option: None = None,
        hpi_config: None = None,
    ) -> None:
        if not isinstance(model_name, str) or not model_name:
            raise InvalidArgumentError(f"model_name must be the name of a model, got {model_name!r}")
        for name, value in (("pp_option", pp_option), ("hpi_config", hpi_config)):
            if value is not None:
                raise InvalidArgumentError(f"{name} has no effect here: {IN_PADDLEX[name]}")
        self.model_name = model_name
        self.model_dir = model_dir
        self.device = device
        self.img_size = img_size
        self.threshold = checked_threshold(threshold)
        self.use_hpip = bool(use_hpip)
        self.batch_size = checked_batch_size(batch_size)
        self.connection = _connection(connection, url, protocol)
        self.urls = _urls(urls)
        self.max_side_px = _max_side_px(max_side_px)
        self.timings = bool(timings)
        self.strict = bool(strict)
        self.tile_wh = checked_tiles(tiles)


def takes(options: Callable[P, Options]) -> Callable[[Callable[[Options], T]], Callable[P, T]]:
    """Gives a function of `Options` the arguments of `Options`: when called, for type checkers and in editors."""

    signature = inspect.signature(options)

    def decorate(function: Callable[[Options], T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in sorted(OF_THE_CONNECTION & kwargs.keys() - signature.parameters.keys()):
                raise InvalidArgumentError(f"{name} belongs to the server: pass connection=Connection({name}=...)")
            return function(options(*args, **kwargs))

        returned = inspect.signature(function).return_annotation
        call.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
        return call

    return decorate


def checked_threshold(threshold: Number | None) -> float | None:
    """InvalidArgumentError unless it is None or a number in 0..1."""
    value = number(threshold)
    if threshold is not None and (value is None or not 0 <= value <= 1):
        raise InvalidArgumentError(f"threshold must be a number between 0 and 1, got {threshold!r}")
    return value


def checked_batch_size(batch_size: Whole) -> int:
    """InvalidArgumentError unless it is a whole number from 1 on."""
    size = whole_number(batch_size)
    if size is None or size < 1:
        raise InvalidArgumentError(f"batch_size must be a whole number from 1 on, got {batch_size!r}")
    return size


def checked_tiles(tiles: Size | None) -> tuple[int, int] | None:
    """(width, height) in pixels; InvalidArgumentError unless it is None, a number or two of them, as tiles may be."""
    if tiles is None:
        return None
    sides = sides_of(tiles)
    fitting = [side for side in sides if side is not None and MIN_TILE_SIDE_PX <= side <= MAX_SIDE_PX]
    if len(sides) != 2 or fitting != sides:
        raise InvalidArgumentError(
            f"tiles is a number or [width, height] of whole numbers from {MIN_TILE_SIDE_PX} to {MAX_SIDE_PX}, pixels "
            f"of the image; got {tiles!r}"
        )
    return fitting[0], fitting[1]


def sides_of(size: Size) -> list[int | None]:
    """Width and height of a size as callers give it, one number for both; None for what is no whole number."""
    values = size.tolist() if isinstance(size, np.ndarray) else size
    return [whole_number(side) for side in (values if isinstance(values, (list, tuple)) else [values] * 2)]


def _connection(connection: Connection | None, url: str | Sequence[str] | None, protocol: str | None) -> Connection:
    if connection is None:
        return Connection(url, protocol)
    if not isinstance(connection, Connection):
        raise InvalidArgumentError(f"connection must be a tritonface.Connection, got {type(connection).__name__}")
    if url is not None or protocol is not None:
        raise InvalidArgumentError(
            "url= and protocol= are short for connection=Connection(url=, protocol=); pass them there, beside the rest"
        )
    return connection


def _urls(urls: UrlPolicy | None) -> UrlPolicy:
    if urls is not None and not isinstance(urls, UrlPolicy):
        raise InvalidArgumentError(f"urls must be a tritonface.UrlPolicy, got {type(urls).__name__}")
    return urls or UrlPolicy()


def _max_side_px(max_side_px: Whole | None) -> int | None:
    side = whole_number(max_side_px)
    if max_side_px is not None and (side is None or side not in MAX_SIDES_PX):
        raise InvalidArgumentError(f"max_side_px must be a whole number of pixels from 16 on, got {max_side_px!r}")
    return side
