"""When a network's process changes to the form that suits the load: not at once, and not all the time."""

from __future__ import annotations

import time

FEWEST, MOST = 8, 4096
"""So many images in a row have to find the wrong form; loading the other one takes as long as one to twenty of them."""
LASTING_S = 30.0
"""A form that has been right for less is taken for a load between both, which would go from one to the other: at .6 of
saturation, evenly spaced, two a second, and a p99 of .3 s."""


class Patience:
    """Of one process; doubles with each change that did not last, and begins anew after one that did."""

    def __init__(self) -> None:
        self._limit = FEWEST
        self._unsuited = 0
        self._changed_s = time.monotonic()

    def ends(self, suits: bool) -> bool:
        """Whether it is time to change, now that this form suits an image or does not."""
        self._unsuited = 0 if suits else self._unsuited + 1
        return self._unsuited >= self._limit

    def changed(self) -> None:
        """The other form has been loaded, or cannot be."""
        now_s = time.monotonic()
        self._limit = FEWEST if now_s - self._changed_s >= LASTING_S else min(2 * self._limit, MOST)
        self._unsuited, self._changed_s = 0, now_s

    def rest(self) -> None:
        """There has been a pause: what comes next may be another load."""
        self._limit, self._unsuited = FEWEST, 0
