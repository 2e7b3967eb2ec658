"""Processes in which gRPC or asyncio do not work: told at once, before anything hangs or crashes."""

from __future__ import annotations

import asyncio
import os
import sys

from tritonface._errors import InvalidArgumentError

HTTP = "pass protocol='http' (Triton's usual port for it: 8000)"


class GrpcUse:
    """Whether this process, or the one it was forked from, has used gRPC, whose state in C does not survive a fork."""

    def __init__(self) -> None:
        self._used = False
        self._lost = False

    def begin(self) -> None:
        """Call it before gRPC is used.

        Raises:
            InvalidArgumentError: gRPC would hang or crash in this process.
        """
        if is_patched_by_gevent():
            raise InvalidArgumentError(f"this process is patched by gevent, under which gRPC hangs; {HTTP}")
        if self._lost:
            raise InvalidArgumentError(
                "this process was forked from one that had used gRPC, which does not survive that; make the first "
                f"model after the fork, start processes by multiprocessing's 'spawn' or 'forkserver', or {HTTP}"
            )
        self._used = True

    def after_fork(self) -> None:
        """The child has what is left of gRPC, and no way to begin anew."""
        self._lost = self._lost or self._used


def is_patched_by_gevent() -> bool:
    """Whether threads are gevent's greenlets, all of one thread, as far as C and asyncio can tell."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def check_asyncio(own_loop: asyncio.AbstractEventLoop | None) -> None:
    """InvalidArgumentError where `own_loop` could not run, as the one thread of a patched process runs another loop."""
    if is_patched_by_gevent() and asyncio._get_running_loop() not in (None, own_loop):
        raise InvalidArgumentError(
            "this process is patched by gevent and runs an asyncio loop, beside which no other can run; use "
            "create_model outside of asyncio"
        )


grpc_use = GrpcUse()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=grpc_use.after_fork)
