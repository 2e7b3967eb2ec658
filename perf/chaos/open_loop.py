"""A client that sends at a fixed rate whatever comes back, or keeps so many requests under way.

It is a process of its own, `python -m perf.chaos.open_loop`, which reads its task as JSON from stdin and writes what it
saw as JSON to stdout. Requests are bytes made once, so that even twenty times what the server can do costs it less than
a core. It goes before the server's processes where it may (root): one that has to wait for their CPUs takes its own
waiting, some .2 s now and then, for the server's.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np
import tritonclient.http
from tritonclient.grpc import service_pb2

from perf.settings import IN_FLIGHT
from training.paths import ROOT
from tritonface_server.repository import bytes_tensor

METHOD = "/inference.GRPCInferenceService/ModelInfer"
TICK_S = 0.002
PUNCTUAL_S = 0.1
FRESH_PAUSE_S = 0.05
MOST_TRIES = 5
OK, BUSY, LATE, LOST = "ok", "busy", "late", "lost"
"""What becomes of a request: answered, refused as UNAVAILABLE or 503, past its deadline, or anything else."""

Send = Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Task:
    """One run.

    Attributes:
        rate: requests per second; 0 for a closed loop: the next one when one is answered.
        deadline_s: of each request; the server is told it too.
        under_way: requests of the closed loop.
        fresh_timeout_s: how long the one who comes at the end goes on asking.
    """

    protocol: str
    url: str
    model: str
    image: str
    rate: float
    seconds: float
    deadline_s: float = 2.0
    under_way: int = IN_FLIGHT
    fresh_timeout_s: float = 60.0


def run(task: Task) -> dict[str, Any]:
    """Send in a process of its own.

    Returns:
        `{"in_time": answers within task.seconds, "punctual": share of requests sent when they were due, "counts":
        {outcome: number}, "ok_s": [p50, p99], "busy_s": [p50, p99], "fresh_s": seconds until one who comes at the end
        is answered, "fresh_tries": [[outcome, seconds], ...] of that one's last tries, "cpu_s": of the client,
        "goes_first": whether it did not have to wait for CPUs, "others": {message: number}}`; times of what did not
        happen are infinite.
    """
    command = [sys.executable, "-m", "perf.chaos.open_loop"]
    done = subprocess.run(command, input=json.dumps(asdict(task)), capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"the client failed: {done.stderr[-500:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


class Run:
    """Sends, and notes what becomes of each request."""

    def __init__(self, task: Task, send: Send) -> None:
        self.task, self.send = task, send
        self.start = time.perf_counter()
        self.end = self.start + task.seconds
        self.times: dict[str, list[float]] = {OK: [], BUSY: [], LATE: [], LOST: []}
        self.others: Counter[str] = Counter()
        self.in_time = self.punctual = self.sent = 0
        self.fresh_s = np.inf
        self.fresh_tries: list[tuple[str, float]] = []

    async def one(self, due: float) -> None:
        """A request, and what becomes of it."""
        started = time.perf_counter()
        self.sent += 1
        self.punctual += started - due < PUNCTUAL_S
        outcome = await self.send()
        now = time.perf_counter()
        if outcome not in self.times:
            self.others[outcome] += 1
            outcome = LOST
        self.times[outcome].append(now - started)
        self.in_time += outcome == OK and now <= self.end

    async def closed(self) -> None:
        """One of those who always have one request under way."""
        while (now := time.perf_counter()) < self.end:
            await self.one(now)

    async def all_closed(self) -> None:
        """All of those, and then somebody else."""
        await asyncio.gather(*(self.closed() for _ in range(self.task.under_way)))
        await self.come_fresh()

    async def open(self) -> None:
        """At the wanted rate."""
        under_way: set[asyncio.Task[None]] = set()
        planned = 0
        while (now := time.perf_counter()) < self.end:
            while (due := self.start + planned / self.task.rate) <= now:
                request = asyncio.create_task(self.one(due))
                under_way.add(request)
                request.add_done_callback(under_way.discard)
                planned += 1
            await asyncio.sleep(TICK_S)
        await asyncio.gather(self.come_fresh(), *under_way)

    async def come_fresh(self) -> None:
        """Somebody comes now, and comes again when refused, until there is an answer."""
        started, outcome = time.perf_counter(), ""
        while outcome != OK and time.perf_counter() - started < self.task.fresh_timeout_s:
            if outcome:
                await asyncio.sleep(FRESH_PAUSE_S)
            tried = time.perf_counter()
            outcome = await self.send()
            self.fresh_tries.append((outcome, time.perf_counter() - tried))
        self.fresh_s = time.perf_counter() - started


def go_first() -> bool:
    """Get a CPU before every process of usual priority, from now on; False if that is not allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    return True


async def _run(task: Task) -> dict[str, Any]:
    goes_first = go_first()
    async with Grpc(task) if task.protocol == "grpc" else Http(task) as send:
        run, before_s = Run(task, send), time.process_time()
        await (run.open() if task.rate else run.all_closed())
        used_s = time.process_time() - before_s
    return {
        "in_time": run.in_time,
        "punctual": run.punctual / max(run.sent, 1),
        "counts": {outcome: len(values) for outcome, values in run.times.items()},
        **{f"{name}_s": np.percentile(run.times[name] or [np.inf], [50, 99]).tolist() for name in (OK, BUSY)},
        "fresh_s": run.fresh_s,
        "fresh_tries": run.fresh_tries[-MOST_TRIES:],
        "cpu_s": used_s,
        "goes_first": goes_first,
        "others": dict(run.others.most_common(5)),
    }


class Grpc:
    """Calls on one channel, request and reply as bytes."""

    def __init__(self, task: Task) -> None:
        self.task = task

    async def __aenter__(self) -> Send:
        request = service_pb2.ModelInferRequest(model_name=self.task.model)
        request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(bytes_tensor(Path(self.task.image).read_bytes()))
        request.parameters["timeout"].int64_param = int(self.task.deadline_s * 1e6)
        message = request.SerializeToString()
        self.channel = grpc.aio.insecure_channel(self.task.url)
        call = self.channel.unary_unary(METHOD)

        async def send() -> str:
            try:
                await call(message, timeout=self.task.deadline_s)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return BUSY
                late = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
                return LATE if error.code() in late else f"{error.code()}: {error.details()}"
            return OK

        return send

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()


class Http:
    """POSTs on as many connections as are needed."""

    def __init__(self, task: Task) -> None:
        self.task = task

    async def __aenter__(self) -> Send:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        image = tritonclient.http.InferInput("image", [1, 1], "BYTES")
        image.set_data_from_numpy(np.array([[Path(self.task.image).read_bytes()]], object))
        body, header_length = tritonclient.http.InferenceServerClient.generate_request_body(
            [image], timeout=int(self.task.deadline_s * 1e6)
        )
        headers = {"Inference-Header-Content-Length": str(header_length)}
        url = f"http://{self.task.url}/v2/models/{self.task.model}/infer"
        timeout = aiohttp.ClientTimeout(total=self.task.deadline_s)
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)

        async def send() -> str:
            try:
                async with self.session.post(url, data=body, headers=headers) as reply:
                    text = await reply.read()
            except asyncio.TimeoutError:
                return LATE
            except aiohttp.ClientError as error:
                return type(error).__name__
            if reply.status == 200:
                return OK
            return BUSY if reply.status == 503 else f"{reply.status}: {text[:200].decode(errors='replace')}"

        return send

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()


if __name__ == "__main__":
    json.dump(asyncio.run(_run(Task(**json.loads(sys.stdin.read())))), sys.stdout)
