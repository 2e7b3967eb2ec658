"""The arguments of `create_model` and `predict` that can be checked without a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from tritonface._errors import InvalidArgumentError
from tritonface._fetch import UrlPolicy

MAX_SIDES_PX = range(16, 2**16)


@dataclass(frozen=True)
class Options:
    """The arguments of `create_model` that are not the address; see there."""

    model_name: str
    model_dir: str | os.PathLike[str] | None = None
    device: str | None = None
    img_size: int | Sequence[int] | None = None
    threshold: float | None = None
    use_hpip: bool = False
    batch_size: int = 1
    urls: UrlPolicy | None = None
    max_side_px: int | None = None
    timings: bool = False
    shared_memory: bool = False

    def check(self) -> None:
        """InvalidArgumentError for what can be told without a server."""
        if not isinstance(self.model_name, str) or not self.model_name:
            raise InvalidArgumentError(f"model_name must be the name of a model, got {self.model_name!r}")
        check_threshold(self.threshold)
        check_batch_size(self.batch_size)
        if self.urls is not None and not isinstance(self.urls, UrlPolicy):
            raise InvalidArgumentError(f"urls must be a tritonface.UrlPolicy, got {type(self.urls).__name__}")
        side = self.max_side_px
        if side is not None and (isinstance(side, bool) or not isinstance(side, int) or side not in MAX_SIDES_PX):
            raise InvalidArgumentError(f"max_side_px must be a whole number of pixels from 16 on, got {side!r}")


def check_threshold(threshold: float | None) -> None:
    """InvalidArgumentError unless it is None or a number in 0..1."""
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 <= float(threshold) <= 1:
        raise InvalidArgumentError(f"threshold must be a number between 0 and 1, got {threshold!r}")


def check_batch_size(batch_size: int) -> None:
    """InvalidArgumentError unless it is a whole number from 1 on."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidArgumentError(f"batch_size must be a whole number from 1 on, got {batch_size!r}")
