"""The two ways to a Triton server, gRPC and HTTP, behind one interface; their failures become ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import numpy.typing as npt

from tritonface._connection import Connection
from tritonface._errors import ImageError, InvalidArgumentError, ModelNotFoundError, ServerBusyError, ServerError
from tritonface._failures import late, reported, unavailable
from tritonface._inference import GrpcInference, HttpInference, InferenceRequest, SharedImage
from tritonface._process import grpc_use
from tritonface._shared_memory import SHORT_TIMEOUT_S, UNKNOWN_REGION, SharedMemory, is_possible

T = TypeVar("T")

GRPC_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),  # a server that comes back is noticed at once, not after two minutes
    ("grpc.min_reconnect_backoff_ms", 5000),  # by its name; it is how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),  # each model has connections of its own
]
KEY_HEADERS = {"grpc": "triton-grpc-protocol-triton-key", "http": "triton-key"}
"""Under which name Triton asks for the key of its restricted APIs."""
WITH_KEY = {
    "get_inference_statistics",
    "get_model_repository_index",
    "load_model",
    "register_system_shared_memory",
    "unregister_system_shared_memory",
}
PIECE_BYTES = 2**18
"""Of an HTTP body, written at once."""
NEVER_S = 10.0**9  # the HTTP client's own limit; ours is in `Client._call`
LEAVE_TIMEOUT_S = 15.0
"""For a busy server to end with images in shared memory that are under way when the connection is closed."""
MAX_TIMEOUT_US = 2**53  # beyond it JSON loses digits
GIVEN_UP_S, CLOSE_PATIENCE_S = 30.0, 3.0
"""How long a request over gRPC that was given up may go on, and how long closing waits for it."""


class _Headers(dict[str, str]):
    """gRPC's asyncio API wants its metadata as a tuple, Triton's client hands it `headers.items()`."""

    def items(self) -> Any:
        return tuple(super().items())


class _InPieces:
    """The HTTP client's session, posting bodies piece by piece: megabytes at once would block the event loop.

    Args:
        options: of every request.
    """

    def __init__(self, session: Any, **options: Any) -> None:
        self._session = session
        self._options = options

    def post(self, *, data: bytes | str, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        if isinstance(data, bytes) and len(data) > PIECE_BYTES:
            headers = {**(headers or {}), "Content-Length": str(len(data))}
            return self._session.post(data=_pieces(data), headers=headers, **options, **self._options)
        return self._session.post(data=data, headers=headers, **options, **self._options)

    def get(self, **options: Any) -> Any:
        return self._session.get(**options, **self._options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


async def _pieces(data: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for begin in range(0, len(data), PIECE_BYTES):
        yield view[begin : begin + PIECE_BYTES]


class Client:
    """One client of the server; belongs to the event loop in which it is made.

    Every method has a `timeout_s` after which it gives up, and raises exceptions of `tritonface` only.

    Args:
        connection: with a single server.
        name: host:port by which that goes, for certificates and gateways, where the connection has its bare address.
    """

    def __init__(self, connection: Connection, name: str | None = None) -> None:
        self.connection = connection
        self._name = name
        host = name and name.rpartition(":")[0]
        self.closed = False
        shared = connection.shared_memory and is_possible(connection.url)
        self._shared = SharedMemory(self._register, self._unregister) if shared else None
        tls = connection.tls
        from tritonclient.utils import InferenceServerException  # it takes a while

        self._reports = InferenceServerException
        self._broken: tuple[type[BaseException], ...] = (OSError,)
        self._under_way: set[asyncio.Future[Any]] = set()
        if connection.protocol == "grpc":
            called = [("grpc.default_authority", name), ("grpc.ssl_target_name_override", host)] if name else []
            grpc_use.begin()
            from tritonclient.grpc import aio

            self._options: dict[str, Any] = {"as_json": True}
            self._client = aio.InferenceServerClient(
                connection.url,
                ssl=tls is not None,
                root_certificates=tls and tls.ca_file,
                private_key=tls and tls.key_file,
                certificate_chain=tls and tls.cert_file,
                channel_args=GRPC_OPTIONS + called,
            )
            self._inference: GrpcInference | HttpInference = GrpcInference(self._client._channel)
        else:
            import aiohttp
            from tritonclient.http import aio

            self._options = {}
            self._broken = (OSError, aiohttp.ClientError)
            context = tls.context() if tls else None
            arguments = {"ssl": True, "ssl_context": context} if context else {"ssl_context": False}
            self._client = aio.InferenceServerClient(connection.url, conn_limit=0, conn_timeout=NEVER_S, **arguments)
            if hasattr(self._client, "_stub"):
                options = {"server_hostname": host} if context and host else {}
                self._client._stub = _InPieces(self._client._stub, **options)
            self._inference = HttpInference(self._client)

    async def infer(
        self,
        model: str,
        image: bytes,
        others: Mapping[str, npt.NDArray[Any]],
        outputs: tuple[str, ...],
        request_id: str,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> list[npt.NDArray[Any]]:
        """The named outputs for an encoded image and other inputs."""
        if self.closed:
            raise InvalidArgumentError("the model is closed; make a new one with create_model")
        deadline_s = time.monotonic() + timeout_s

        async def infer(image: bytes | SharedImage) -> list[npt.NDArray[Any]]:
            left_s = max(deadline_s - time.monotonic(), 0.001)
            timeout_us = min(int(left_s * 1e6), MAX_TIMEOUT_US)
            request = InferenceRequest(model, image, others, outputs, request_id, timeout_us)
            return await self._infer(request, left_s, headers)

        if self._shared is None:
            return await infer(image)
        return await self._infer_shared(self._shared, infer, image)

    async def _infer_shared(
        self,
        shared: SharedMemory,
        infer: Callable[[bytes | SharedImage], Awaitable[list[npt.NDArray[Any]]]],
        image: bytes,
    ) -> list[npt.NDArray[Any]]:
        """What `infer` answers, the image handed over in shared memory where that is possible."""
        region = shared.take(image)
        if region is None:
            return await infer(image)
        try:
            reply = await infer(SharedImage(region.name, region.write(image)))
        except (ImageError, InvalidArgumentError, ServerBusyError, ServerError, ModelNotFoundError) as error:
            if UNKNOWN_REGION not in str(error):
                shared.give_back(region)
                raise
            shared.give_up_unknown(region)
            return await infer(image)
        except BaseException:
            shared.give_up(region)
            raise
        shared.give_back(region)
        return reply

    async def _infer(
        self, request: InferenceRequest, timeout_s: float, headers: Mapping[str, str] | None
    ) -> list[npt.NDArray[Any]]:
        call = self._inference.infer(request, self._headers("infer", headers), timeout_s + GIVEN_UP_S)
        if self.connection.protocol == "grpc":
            return await self._answer(self._uncancelled(call), timeout_s)
        return await self._answer(call, timeout_s)

    async def config(self, model: str, timeout_s: float) -> dict[str, Any]:
        """A model's configuration, as the server has completed it."""
        reply: dict[str, Any] = await self._call("get_model_config", timeout_s, model, **self._options)
        return dict(reply.get("config", reply))

    async def models(self, timeout_s: float) -> list[dict[str, str]]:
        """All models that the server lists, steps of ensembles included: "name", "state", "reason"."""
        reply = await self._call("get_model_repository_index", timeout_s, **self._options)
        return list(reply.get("models", []) if isinstance(reply, dict) else reply)

    async def statistics(self, timeout_s: float) -> list[dict[str, Any]]:
        """Triton's counts and times of all models since its start; open to who has the server's key."""
        return list((await self._call("get_inference_statistics", timeout_s, **self._options)).get("model_stats", []))

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        """Whether a model answers; also one that a client has loaded, which `models` does not list."""
        return bool(await self._call("is_model_ready", timeout_s, model))

    async def is_live(self, timeout_s: float) -> bool:
        """Whether the server says that it is there, with or without its models."""
        return bool(await self._call("is_server_live", timeout_s))

    async def is_ready(self, timeout_s: float) -> bool:
        """Whether the server says that it and all its models are ready."""
        return bool(await self._call("is_server_ready", timeout_s))

    async def load(self, model: str, config: str, files: dict[str, bytes], timeout_s: float) -> None:
        """Load a model that consists of this configuration (JSON) and these files (`{"1/model.onnx": ...}`)."""
        named = {f"file:{path}": data for path, data in files.items()}
        await self._call("load_model", timeout_s, model, config=config, files=named)

    async def close(self) -> None:
        """Close the connections; what is under way fails, in a way of the protocol's own."""
        self.closed = True
        if self._shared:
            await self._shared.close(LEAVE_TIMEOUT_S)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=CLOSE_PATIENCE_S)
        await self._client.close()

    def _uncancelled(self, call: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        """A request that goes on when nobody waits for it any more.

        Triton before 2.57 dies now and then of a request that is cancelled over gRPC (its pull requests 7840, 8078).
        """
        task = asyncio.ensure_future(call)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return asyncio.shield(task)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it may be gone

    async def _register(self, name: str, key: str, size: int, timeout_s: float) -> None:
        await self._call("register_system_shared_memory", timeout_s, name, key, size)

    async def _unregister(self, name: str) -> None:
        await self._call("unregister_system_shared_memory", SHORT_TIMEOUT_S, name)

    async def _call(self, method: str, timeout_s: float, *arguments: Any, **options: Any) -> Any:
        headers = self._headers(method)
        call = getattr(self._client, method)(*arguments, headers=headers or None, **options)
        return await self._answer(call, timeout_s)

    def _headers(self, method: str, more: Mapping[str, str] | None = None) -> _Headers:
        headers = _Headers({**(more or {}), **self.connection.headers})
        if method in WITH_KEY and self.connection.key:
            headers[KEY_HEADERS[self.connection.protocol]] = self.connection.key
        if self._name and self.connection.protocol == "http":
            headers["host"] = self._name
        return headers

    async def _answer(self, call: Awaitable[T], timeout_s: float) -> T:
        """What a call returns in time; its failures as ours."""
        try:
            return await asyncio.wait_for(call, timeout_s)
        except self._reports as error:
            raise reported(error, self.connection) from error
        except asyncio.TimeoutError as error:
            raise late(self.connection) from error
        except self._broken as error:
            not_http = hasattr(error, "status")  # aiohttp has met bytes that are no answer of a web server
            reason = "the answer is not HTTP" if not_http else str(error) or repr(error)
            raise unavailable(self.connection, reason) from error
        except (ValueError, UnicodeError) as error:  # not the JSON that Triton would have sent
            raise unavailable(self.connection, f"the answer is not Triton's: {error}") from error
