"""The same comparison on fewer CPUs than the machine has: server, callers and bare loops confined to the first ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from perf import rounds
from perf.settings import Settings
from tritonface_server.server import TritonServer


@contextmanager
def confined_to(count: int) -> Iterator[None]:
    """What this thread starts inside may use `count` of its CPUs, as under `taskset`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure(
    start_server: Callable[[], AbstractContextManager[TritonServer]],
    name: str,
    settings: Settings,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """`{detector: {number of CPUs: {variant: Figures}}}` for those of `settings.cpus` that are fewer than there are."""
    counts = [count for count in settings.cpus if count < len(os.sched_getaffinity(0))]
    brief = replace(settings, rounds=settings.cpus_rounds)
    found: dict[str, dict[str, rounds.Figures]] = {}
    for count in counts:
        say(f"{name} on {count} CPU{'s' if count > 1 else ''}")
        with confined_to(count), start_server() as server:
            found[str(count)] = rounds.confined(server, name, brief, say)
    return {name: found}
