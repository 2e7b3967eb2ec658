"""The asyncio twin: same results, and nothing left behind when it is cancelled or abandoned."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tritonface
from tests.launched import eventually
from tritonface import (
    ImageError,
    InvalidArgumentError,
    ModelNotFoundError,
    create_async_model,
    create_model,
)
from tritonface._client import Client
from tritonface._engine import engine
from tritonface._session import CLOSED
from tritonface_server.server import TritonServer

UNUSED = "BlazeFace-FPN-SSH"
"""A detector that the other tests do not ask: what they gave up may still be computed."""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """After each test no task, and no thread of ours, is alive."""
    yield
    deadline = time.monotonic() + 5
    while ours() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ours() == []


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "tritonface"]


def tasks_under_way() -> int:
    """Tasks in the engine's loop, this question's own not counted."""

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return engine.submit(count).result(10)


async def reached(condition: Callable[[int], bool]) -> bool:
    """Whether the number of tasks under way fulfils a condition before long."""
    deadline = time.monotonic() + 10
    while not condition(tasks_under_way()) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return condition(tasks_under_way())


def none(count: int) -> bool:
    return count == 0


def test_it_takes_the_same_arguments() -> None:
    for sync, twin in (
        (create_model, create_async_model),
        (tritonface.FaceDetector.predict, tritonface.AsyncFaceDetector.predict),
    ):
        assert inspect.signature(sync).parameters == inspect.signature(twin).parameters
    names = [{n for n in dir(t) if n[0] != "_"} for t in (tritonface.FaceDetector, tritonface.AsyncFaceDetector)]
    assert names[0] == names[1]


def test_no_images(address: dict[str, str]) -> None:
    async def run() -> list[object]:
        async with create_async_model("BlazeFace", **address) as model:
            return [result async for result in model.predict([])]

    assert asyncio.run(run()) == []


def test_the_same_results(address: dict[str, str], solvay: Path, astronaut: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    images = [solvay, np.zeros((30, 40, 3), np.uint8), astronaut, tmp_path / "bad.jpg", tmp_path / "gone.jpg"]

    async def run() -> list[dict[str, object]]:
        model = await create_async_model("BlazeFace", **address)
        try:
            return [dict(result) async for result in model.predict(images, batch_size=3, on_error="yield")]
        finally:
            await model.close()

    with create_model("BlazeFace", **address) as model:
        expected = [dict(result) for result in model.predict(images, on_error="yield")]
    assert asyncio.run(run()) == expected
    assert ["error" in result for result in expected] == [False, False, False, True, True]


def test_errors(address: dict[str, str], tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(ModelNotFoundError):
            await create_async_model("Nope", **address)
        with pytest.raises(InvalidArgumentError, match="device"):
            async with create_async_model("BlazeFace", device="tpu", **address):
                pass
        async with create_async_model("BlazeFace", **address) as model:
            with pytest.raises(InvalidArgumentError, match="threshold"):
                model.predict([], threshold=2)
            with pytest.raises(ImageError, match=r"gone\.jpg"):
                await anext(model.predict(tmp_path / "gone.jpg"))
            results = model.predict([tmp_path / "gone.jpg", 7], batch_size=2, on_error="yield")
            assert (await anext(results)).error is not None
            with pytest.raises(InvalidArgumentError, match="type int"):
                await anext(results)
        with pytest.raises(InvalidArgumentError, match="closed"):
            model.predict([])

    asyncio.run(run())


def test_many_at_once(address: dict[str, str], astronaut: Path) -> None:
    async def run() -> None:
        async with create_async_model("BlazeFace", **address) as model:

            async def one() -> int:
                (result,) = [result async for result in model.predict(astronaut)]
                return len(result["boxes"])

            assert len(set(await asyncio.gather(*[one() for _ in range(20)]))) == 1

    asyncio.run(run())


def test_the_loop_goes_on_meanwhile(address: dict[str, str], solvay: Path) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def run() -> None:
        async with create_async_model("BlazeFace", **address) as model:
            ticking = asyncio.create_task(tick())
            async for _ in model.predict([solvay] * 40):
                pass
            ticking.cancel()

    asyncio.run(run())
    assert ticks > 20


def test_cancelling_gives_up_what_is_under_way(address: dict[str, str], solvay: Path) -> None:
    async def run() -> None:
        async with create_async_model("BlazeFace", **address) as model:

            async def consume() -> None:
                async for _ in model.predict([solvay] * 100, batch_size=16):
                    pass

            task = asyncio.create_task(consume())
            assert await reached(lambda count: count > 4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await reached(none)
            (result,) = [result async for result in model.predict(solvay)]
            assert result["boxes"]

    asyncio.run(run())


def test_an_abandoned_run_gives_up_what_is_under_way(address: dict[str, str], solvay: Path) -> None:
    async def run() -> None:
        async with create_async_model("BlazeFace", **address) as model:
            results = model.predict([solvay] * 100, batch_size=16)
            await anext(results)
            await results.aclose()
            assert await reached(none)

    asyncio.run(run())
    with create_model("BlazeFace", **address) as model:
        for _ in model.predict([solvay] * 100, batch_size=16):
            break  # the generator dies with the loop
        assert asyncio.run(reached(none))


def test_over_grpc_the_server_is_not_told_what_is_given_up(
    server: TritonServer, astronaut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton before 2.57 dies of requests that are cancelled now and then. What was given up early is never sent."""
    chance, sent = random.Random(0), []
    send = Client._uncancelled
    monkeypatch.setattr(Client, "_uncancelled", lambda client, call: sent.append(call) or send(client, call))

    async def give_up_one() -> None:
        async with create_async_model(UNUSED, url=server.endpoints.grpc) as model:
            task = asyncio.ensure_future(anext(model.predict(astronaut)))
            await reached(lambda count: count > 0)
            await asyncio.sleep(0.03 * chance.random())
            task.cancel()
            await asyncio.wait([task])

    before = requests(server)
    for _ in range(12):
        asyncio.run(give_up_one())
    assert len(sent) > 6
    assert eventually(lambda: sum(requests(server)) - sum(before) == len(sent))  # counted after they are answered
    assert requests(server)[1] == before[1]


def requests(server: TritonServer) -> tuple[int, int]:
    """How many the server has answered, and how many were declined or dropped."""
    url = f"http://{server.endpoints.http}/v2/models/{UNUSED}/stats"
    with urllib.request.urlopen(urllib.request.Request(url, headers=server.access.headers)) as reply:
        (model,) = json.load(reply)["model_stats"]
    return tuple(model["inference_stats"][name]["count"] for name in ("success", "fail"))


@pytest.mark.fault("A16")
@pytest.mark.parametrize("others", [0, 1])
def test_closing_in_another_task(address: dict[str, str], solvay: Path, others: int) -> None:
    """The task that waits for a result is told, not cancelled; whether or not other models keep the engine running."""

    async def run() -> None:
        rest = [await create_async_model("BlazeFace", **address) for _ in range(others)]
        model = await create_async_model("BlazeFace", **address)
        caught: list[Exception] = []

        async def consume() -> str:
            try:
                async for _ in model.predict([solvay] * 200, batch_size=8):
                    pass
            except InvalidArgumentError as error:
                caught.append(error)
            return "went on"

        tasks = [asyncio.create_task(consume()) for _ in range(3)]
        await asyncio.sleep(0.3)
        await model.close()
        assert await asyncio.gather(*tasks) == ["went on"] * 3
        # A task that was between two images is told by another message than one that waited for an image.
        assert len(caught) == 3 and all("the model is closed" in str(e) or CLOSED in str(e) for e in caught)
        for other in rest:
            assert [len(result) > 0 async for result in other.predict(solvay)] == [True]
            await other.close()

    asyncio.run(run())


def test_two_loops_share_a_model(address: dict[str, str], astronaut: Path) -> None:
    async def ask(model: tritonface.AsyncFaceDetector) -> int:
        (result,) = [result async for result in model.predict(astronaut)]
        return len(result["boxes"])

    async def run() -> None:
        async with create_async_model("BlazeFace", **address) as model:
            elsewhere = await asyncio.to_thread(lambda: asyncio.run(ask(model)))
            assert elsewhere == await ask(model)

    asyncio.run(run())
