"""The background event loop of a sync client."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar, TypeVarTuple, Unpack

import anyio
from anyio.from_thread import BlockingPortal

from ..errors import InvalidArgument

ResultT = TypeVar("ResultT")
ArgsT = TypeVarTuple("ArgsT")


class LoopThread:
    """An event loop in a daemon thread, started on first use.

    It works beside any other event loop, so also in a notebook; a forked child starts a thread of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def call(self, func: Callable[[Unpack[ArgsT]], Awaitable[ResultT]], *args: *ArgsT) -> ResultT:
        """Run a coroutine function on the loop and wait for its result.

        An interrupt of the waiting thread (Ctrl-C) cancels the coroutine.

        Raises:
            InvalidArgument: Called from the loop's own thread, where waiting would never end.
        """
        portal = self._running()
        if threading.current_thread() is self._thread:
            raise InvalidArgument("the sync client was called from its own event loop; use AsyncHumanloop there")
        future = portal.start_task_soon(func, *args)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call_soon(self, func: Callable[[], object]) -> None:
        """Run a plain function on the loop some time soon; does nothing when the loop has stopped. For finalizers."""
        portal = self._portal
        if portal is not None and self._pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # stopped meanwhile, and its connections with it
                portal.start_task_soon(_call, func)

    def stop(self) -> None:
        """Stop the loop and its thread; twice does no harm."""
        with self._lock:
            portal, thread, self._portal = self._portal, self._thread, None
            if portal is None or thread is None or self._pid != os.getpid():
                return
        portal.call(portal.stop)
        thread.join()

    def stop_soon(self) -> None:
        """`stop` without waiting, from any thread. For finalizers."""
        portal, self._portal = self._portal, None
        if portal is not None and self._pid == os.getpid():
            portal.start_task_soon(portal.stop)

    @property
    def is_running(self) -> bool:
        return self._portal is not None and self._pid == os.getpid()

    def _running(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None or self._pid != os.getpid():
                started: Future[BlockingPortal] = Future()
                # A daemon: a program that forgets close() must still be able to end.
                self._thread = threading.Thread(target=_run, args=(started,), name="humanloop_async", daemon=True)
                self._thread.start()
                self._portal, self._pid = started.result(), os.getpid()
            return self._portal


async def _call(func: Callable[[], object]) -> None:
    func()


def _run(started: Future[BlockingPortal]) -> None:
    async def serve() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    anyio.run(serve)
