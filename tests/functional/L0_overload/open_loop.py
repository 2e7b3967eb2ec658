"""Load that does not wait for answers, from a process of its own: `open_loop.py '{"url": ...}'` prints a `Report`.

Requests are encoded once and sent as bytes: one that encoded and decoded them all would take a core from the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import grpc
import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.http import InferenceServerClient, InferInput

METHOD = "/inference.GRPCInferenceService/ModelInfer"
TICK_S = 0.002
Send = Callable[[float], Awaitable[str]]


@dataclass
class Load:
    """What to send; times in seconds.

    Attributes:
        url: host and port.
        rate: requests per second; 0 for `callers` that wait for their answers.
        deadline_s: after which a client goes away; the server is told so by `timeout` as well.
    """

    url: str
    protocol: str
    photo: str
    model: str = "BlazeFace"
    rate: float = 0.0
    callers: int = 8
    seconds: float = 3.0
    deadline_s: float = 2.0


@dataclass
class Report:
    """What came of it.

    Attributes:
        answers: how often each came: "ok", "UNAVAILABLE", "503", "late" and so on.
        ok_s, rejected_s: how long answers and rejections took.
        fresh_s: how long a request took that was sent after the last answer.
        cpu_s: what sending cost.
    """

    answers: dict[str, int] = field(default_factory=dict)
    ok_s: list[float] = field(default_factory=list)
    rejected_s: list[float] = field(default_factory=list)
    sent: int = 0
    seconds: float = 0.0
    fresh_s: float = 0.0
    cpu_s: float = 0.0


async def run(load: Load) -> Report:
    """Send it all."""
    report, answers = Report(), Counter[str]()
    async with AsyncExitStack() as stack:
        connect = over_grpc if load.protocol == "grpc" else over_http
        send = await connect(load, stack)

        async def one() -> None:
            begin_s = time.monotonic()
            answer = await send(load.deadline_s)
            took_s = time.monotonic() - begin_s
            answers[answer] += 1
            if answer == "ok":
                report.ok_s.append(took_s)
            elif answer in ("UNAVAILABLE", "503"):
                report.rejected_s.append(took_s)

        begin_s, begin_cpu_s = time.monotonic(), time.process_time()
        if load.rate:
            await open_loop(one, load)
        else:
            await asyncio.gather(*(caller(one, begin_s + load.seconds) for _ in range(load.callers)))
        report.seconds, report.cpu_s = time.monotonic() - begin_s, time.process_time() - begin_cpu_s
        report.sent, report.answers = sum(answers.values()), dict(answers)
        begin_s = time.monotonic()
        while await send(60.0) != "ok" and time.monotonic() < begin_s + 60:
            await asyncio.sleep(0.02)
        report.fresh_s = time.monotonic() - begin_s
    return report


async def open_loop(one: Callable[[], Awaitable[None]], load: Load) -> None:
    """Start requests at the rate, however many are under way."""
    tasks, begin_s = [], time.monotonic()
    while (passed_s := time.monotonic() - begin_s) < load.seconds:
        tasks += [asyncio.ensure_future(one()) for _ in range(int(passed_s * load.rate) - len(tasks))]
        await asyncio.sleep(TICK_S)
    await asyncio.gather(*tasks)


async def caller(one: Callable[[], Awaitable[None]], until_s: float) -> None:
    """One who waits for each answer."""
    while time.monotonic() < until_s:
        await one()


async def over_grpc(load: Load, stack: AsyncExitStack) -> Send:
    """Unary calls that are cancelled by gRPC itself at their deadline."""
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(load.url))
    call = channel.unary_unary(METHOD)
    request = service_pb2.ModelInferRequest(model_name=load.model)
    request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    photo = Path(load.photo).read_bytes()
    request.raw_input_contents.append(len(photo).to_bytes(4, "little") + photo)
    request.parameters["timeout"].int64_param = int(load.deadline_s * 1e6)
    encoded = request.SerializeToString()

    async def send(timeout_s: float) -> str:
        try:
            await call(encoded, timeout=timeout_s)
            return "ok"
        except grpc.aio.AioRpcError as error:
            return "late" if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else str(error.code().name)

    return send


async def over_http(load: Load, stack: AsyncExitStack) -> Send:
    """Requests whose connection is closed at their deadline."""
    connector = aiohttp.TCPConnector(limit=0)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    tensor = InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[Path(load.photo).read_bytes()]], object))
    body, size = InferenceServerClient.generate_request_body([tensor], timeout=int(load.deadline_s * 1e6))
    headers = {"Inference-Header-Content-Length": str(size)}
    url = f"http://{load.url}/v2/models/{load.model}/infer"

    async def send(timeout_s: float) -> str:
        try:
            timeout = aiohttp.ClientTimeout(timeout_s)
            async with session.post(url, data=body, headers=headers, timeout=timeout) as reply:
                await reply.read()
                return "ok" if reply.status == 200 else str(reply.status)
        except TimeoutError:
            return "late"
        except aiohttp.ClientError as error:
            return type(error).__name__

    return send


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Load(**json.loads(sys.argv[1])))))))
