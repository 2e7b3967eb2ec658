"""What the page asks servers, by the SDK: is one there, which detectors, an open one for all people together."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from tritonface._async_detector import AsyncFaceDetector, create_async_model
from tritonface._client import Client
from tritonface._connection import Connection
from tritonface._engine import engine
from tritonface._errors import InvalidArgumentError, ServerError, TritonFaceError
from tritonface._fetch import UrlPolicy
from tritonface._fleet import Fleet
from tritonface._options import DEFAULT_DETECTOR
from tritonface._served import describe, detectors
from tritonface._web.stages import Statistics, by_name

SHIPPED = (DEFAULT_DETECTOR, "PicoDet_LCNet_x2_5_face", "BlazeFace-FPN-SSH", "BlazeFace")
"""What is offered where the server does not list its detectors to callers without its key."""
HIGH_PERFORMANCE = "_hpi"
MAX_OPEN = 32
LOOK_TIMEOUT_S, LOOK_AGAIN_S = 2.0, 1.0

T = TypeVar("T")


class Choice(NamedTuple):
    """What somebody has chosen.

    Attributes:
        size: of the network's input: "", "640" or "640x512" (width x height).
    """

    detector: str
    fast: bool
    size: str

    @property
    def img_size(self) -> int | list[int] | None:
        """What `create_model` takes; InvalidArgumentError if it is no size at all."""
        try:
            sides = [int(side) for side in self.size.lower().split("x")] if self.size else []
        except ValueError:
            raise InvalidArgumentError(
                f"the input size is a number of pixels, or width x height, such as 640 or 640x512; got {self.size!r}"
            ) from None
        return sides[0] if len(sides) == 1 else sides or None


@dataclass(frozen=True)
class Status:
    """Attributes: the reason is why nobody can be asked, "" if somebody can."""

    reason: str = ""
    names: tuple[str, ...] = SHIPPED


class Detectors:
    """Detectors of a server, opened once for everybody, and whether the server is there.

    A detector that is not used any more is closed when it is forgotten.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._open: OrderedDict[Choice, AsyncFaceDetector] = OrderedDict()
        self._steps: dict[str, tuple[str, ...]] = {}
        self._fleet: Fleet | None = None
        self._status, self._looked_s = Status("not asked yet"), 0.0
        self._lock: asyncio.Lock | None = None
        engine.acquire()

    async def get(self, choice: Choice) -> AsyncFaceDetector:
        """The detector, open; errors are those of `create_model`."""
        model = self._open.get(choice)
        if model is None:
            model = await create_async_model(
                choice.detector,
                img_size=choice.img_size,
                use_hpip=choice.fast,
                timings=True,
                urls=UrlPolicy(allowed=False),
                connection=self.connection,
            )
            self._open[choice] = model
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(choice)
        return model

    async def steps(self, model_name: str) -> tuple[str, ...]:
        """The models that a detector is made of, in their order."""
        if model_name not in self._steps:
            served = await self._ask(lambda client, timeout_s: describe(client, model_name, timeout_s))
            self._steps[model_name] = tuple(str(step["name"]) for step in served.steps)
        return self._steps[model_name]

    async def statistics(self) -> Statistics:
        """What Triton has counted so far; nothing where it tells this to holders of its key only."""
        try:
            return by_name(await self._ask(lambda client, timeout_s: client.statistics(timeout_s)))
        except TritonFaceError:
            return {}

    async def look(self) -> Status:
        """Whether the server is there and ready; many may ask, it is asked once a second."""
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if time.monotonic() - self._looked_s > LOOK_AGAIN_S:
                self._status, self._looked_s = await self._look(self._status), time.monotonic()
            return self._status

    async def _look(self, before: Status) -> Status:
        try:
            if not await self._ask(lambda client, timeout_s: client.is_ready(timeout_s)):
                return Status("it is starting, or cannot load all its models")
            return Status(names=await self._names()) if before.reason else before
        except TritonFaceError as error:
            self._open.clear()  # who comes back may serve others
            self._steps.clear()
            return Status(error.message)

    async def _names(self) -> tuple[str, ...]:
        try:
            served = {found.name for found in await self._ask(detectors)}
        except ServerError:
            return SHIPPED
        names = sorted(name for name in served if name.removesuffix(HIGH_PERFORMANCE) not in served - {name})
        return tuple(sorted(names, key=lambda name: SHIPPED.index(name) if name in SHIPPED else len(SHIPPED)))

    async def _ask(self, question: Callable[[Client, float], Awaitable[T]]) -> T:
        async def ask() -> T:
            self._fleet = self._fleet or await Fleet.of(self.connection)
            return await self._fleet.ask(question, LOOK_TIMEOUT_S)

        answer: asyncio.Future[Any] = asyncio.wrap_future(engine.submit(ask))
        result: T = await answer
        return result
