"""The comparison itself: what is served and all its peers take turns, round by round, one detector after the other.

Throughputs are measured with eight requests under way, latencies one request at a time. The machine's mood changes over
minutes, so only ratios within a round mean something; `perf.targets.ratios` forms them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from perf import perf_analyzer
from perf.contestants import Contestants, Turn
from perf.machine import cores
from perf.peers import high_stability
from perf.peers.paddlex_peer import PaddleXError
from perf.photos import TYPICAL_MEGAPIXELS, photo
from perf.settings import RATE, TIME, VARIANTS, Settings
from training.paths import MODEL_REPOSITORY
from tritonface_server.endpoints import Endpoints
from tritonface_server.repository import read_detector
from tritonface_server.server import TritonServer, undrained

SETTLE_S = 0.2  # threads that spin while they wait for work give up by then
LEAST_ROUNDS = 2

Figures = dict[str, dict[str, list[float]]]
"""`{"images_per_s" or "latency_ms": {contestant: [figure of each round]}}`."""


def compare(
    server: TritonServer, name: str, settings: Settings, paddlex: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """One detector against everybody: `{detector: {variant: Figures and {"left_out": {contestant: why}}}}`.

    Args:
        paddlex: why PaddleX does not take part, "" if it does.
    """
    detector = read_detector(MODEL_REPOSITORY, name)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tritonface-bench-")))
        rival_models = high_stability.write_repository([detector], VARIANTS, cores(), folder / "high_stability")
        log = folder / "high_stability.log"
        rival_server = TritonServer(rival_models, Endpoints.free(), log=log, access=perf_analyzer.ACCESS)
        rival = stack.enter_context(undrained(rival_server))
        entrants = Contestants(stack, detector, settings, photo(TYPICAL_MEGAPIXELS), folder)
        turns: list[Turn] = []
        for variant in settings.variants:
            turns += [*entrants.in_process(variant), *entrants.served(variant, server), *entrants.sdk(variant, server)]
            turns += [*entrants.client_side(variant, server), *entrants.high_stability(variant, rival)]
        if "normal" not in settings.variants:  # as it comes it is compared all the same
            turns += entrants.high_stability("normal", rival)
        turns += entrants.triton_alone(server)
        if not paddlex:
            try:
                turns += entrants.paddlex()
            except PaddleXError as error:
                paddlex = str(error)
                say(f"without PaddleX: {paddlex}")
        figures = take_turns(turns, settings, say)
    left_out = {"PaddleX": paddlex} if paddlex else {}
    return {name: {variant: {**figures[variant], "left_out": left_out} for variant in settings.variants}}


def confined(server: TritonServer, name: str, settings: Settings, say: Callable[[str], None]) -> dict[str, Figures]:
    """What is served and the bare loops alone, on the CPUs that this process and the server may use: by variant."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tritonface-bench-")))
        detector = read_detector(MODEL_REPOSITORY, name)
        entrants = Contestants(stack, detector, settings, photo(TYPICAL_MEGAPIXELS), folder)
        turns: list[Turn] = []
        for variant in settings.variants:
            turns += [*entrants.in_process(variant), *entrants.served(variant, server)]
        return take_turns(turns, settings, say)


def take_turns(turns: Sequence[Turn], settings: Settings, say: Callable[[str], None]) -> dict[str, Figures]:
    """Measure everything once per round, in turn forwards and backwards, so that no one always follows the same."""
    figures: dict[str, Figures] = {variant: {RATE: {}, TIME: {}} for variant in settings.variants}
    started = time.monotonic()
    for number in range(settings.rounds):
        spent_s = time.monotonic() - started
        if number >= LEAST_ROUNDS and spent_s * (number + 1) / number > settings.rounds_s:
            say(f"no time for more than {number} of {settings.rounds} rounds")
            break
        for turn in reversed(turns) if number % 2 else turns:
            measured = turn.measure()
            for variant, contestant in turn.names.items():
                for kind, figure in measured.items():
                    if variant in figures:
                        figures[variant][kind].setdefault(contestant, []).append(figure)
            time.sleep(SETTLE_S)
        say(f"round {number + 1} of {settings.rounds} took {time.monotonic() - started - spent_s:.0f} s")
    return figures
