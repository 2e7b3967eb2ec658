"""The tail of latencies of a machine that loses no time: some servers, constant service, random arrivals."""

from __future__ import annotations

import heapq
import random

import numpy as np

ARRIVALS = 50_000


def ideal_tail(share: float, servers: int, seed: int = 0) -> float:
    """p99 / p50 of the time in an M/D/c queue at `share` of its capacity, by simulation; 3.4 for 0.7 and two servers.

    Requests come at random (Poisson), each takes one of `servers` for the same time, first come, first served.
    """
    generator = random.Random(seed)
    free_at, now, times = [0.0] * servers, 0.0, []
    for _ in range(ARRIVALS):
        now += generator.expovariate(share * servers)  # the unit of time is one service
        done = max(now, heapq.heappop(free_at)) + 1.0
        heapq.heappush(free_at, done)
        times.append(done - now)
    median, p99 = np.percentile(times, [50, 99])
    return float(p99 / median)
