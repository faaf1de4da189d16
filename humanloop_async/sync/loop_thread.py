"""The background event loop of a sync client."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import TypeVar, TypeVarTuple, Unpack

import anyio
from anyio.from_thread import BlockingPortal

from ..errors import ClientClosed, InvalidArgument

ResultT = TypeVar("ResultT")
ArgsT = TypeVarTuple("ArgsT")


_GRACE = 0.5
"""How long to wait until an interrupted call has ended or, in a finalizer, until the loop has stopped, in seconds.

Both usually take milliseconds."""


class LoopThread:
    """An event loop in a daemon thread, started on first use.

    Other event loops do not affect it, so it also works in a notebook. A forked child starts a new thread. Dropping the
    last reference, or the end of the program, has the same effect as `stop`.

    Args:
        on_stop: Coroutine function to await on the loop before it stops.
    """

    def __init__(self, on_stop: Callable[[], Awaitable[object]]) -> None:
        self._lock = threading.Lock()
        self._state = _State(on_stop)
        weakref.finalize(self, self._state.abandon)
        _all.add(self)

    def call(self, func: Callable[[Unpack[ArgsT]], Awaitable[ResultT]], *args: *ArgsT) -> ResultT:
        """Run a coroutine function on the loop and wait for its result.

        An interrupt of the waiting thread (Ctrl-C) cancels the coroutine, and is raised after the coroutine has ended.
        If the coroutine returns at the same moment, its result is lost, so a coroutine has to store a result that must
        not be lost.

        Raises:
            ClientClosed: The loop was stopped.
            InvalidArgument: Called from the loop's thread, which would wait for itself.
        """
        with self._lock:  # a call that is submitted before `stop` is ended by the loop
            portal = self._running()
            if threading.current_thread() is self._state.thread:
                raise InvalidArgument("the sync client was called from its event loop thread; use AsyncHumanloop there")
            ended = threading.Event()
            future = portal.start_task_soon(_run_to_end, ended, func, *args)
        try:
            return future.result()
        except CancelledError as exc:
            raise ClientClosed("the client was closed during this call") from exc
        except BaseException:
            if future.cancel():
                ended.wait(_GRACE)
            raise

    def call_soon(self, func: Callable[[], object]) -> None:
        """Run a plain function on the loop soon; do nothing if the loop has stopped. For finalizers."""
        portal = self._state.portal
        if portal is not None and self.is_running and not sys.is_finalizing():  # at exit its thread is gone
            with contextlib.suppress(RuntimeError):  # the loop has just stopped and closed its connections
                portal.start_task_soon(_call, func)

    def stop(self) -> None:
        """End the running calls, and stop the loop and its thread permanently. Stopping again has no effect."""
        with self._lock:
            portal, thread = self._state.take()
        if portal is not None and thread is not None:
            with contextlib.suppress(CancelledError):
                portal.call(_end, portal, self._state.on_stop)
            thread.join()

    @property
    def is_running(self) -> bool:
        """Whether the loop runs in this process."""
        return self._state.portal is not None and self._state.pid == os.getpid()

    def _running(self) -> BlockingPortal:
        state = self._state
        if state.stopped:
            raise ClientClosed("the client is closed; create a new one")
        if state.portal is None or state.pid != os.getpid():
            started: Future[BlockingPortal] = Future()
            # A daemon thread, so that a program that forgets close() can end.
            state.thread = threading.Thread(target=_run, args=(started,), name="humanloop_async", daemon=True)
            state.thread.start()
            state.portal, state.pid = started.result(), os.getpid()
        return state.portal


_all: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _renew_locks() -> None:
    """Replace the locks in a forked child: a thread of the parent that held one does not exist there."""
    for loop_thread in _all:
        loop_thread._lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # missing on Windows
    os.register_at_fork(after_in_child=_renew_locks)


class _State:
    """The state that the finalizer of a `LoopThread` needs, which must not refer to the `LoopThread`."""

    def __init__(self, on_stop: Callable[[], Awaitable[object]]) -> None:
        self.on_stop = on_stop
        self.portal: BlockingPortal | None = None
        self.thread: threading.Thread | None = None
        self.pid = 0
        self.stopped = False

    def take(self) -> tuple[BlockingPortal | None, threading.Thread | None]:
        """Return the loop and the thread to stop: once, and only in the process that started them."""
        self.stopped = True
        portal, thread, self.portal = self.portal, self.thread, None
        return (portal, thread) if self.pid == os.getpid() else (None, None)

    def abandon(self) -> None:
        portal, thread = self.take()
        if portal is None or thread is None:
            return
        with contextlib.suppress(RuntimeError):
            portal.start_task_soon(_end, portal, self.on_stop)
            if threading.current_thread() is not thread:
                thread.join(_GRACE)


async def _run_to_end(
    ended: threading.Event, func: Callable[[Unpack[ArgsT]], Awaitable[ResultT]], *args: *ArgsT
) -> ResultT:
    try:
        return await func(*args)
    finally:
        ended.set()


async def _call(func: Callable[[], object]) -> None:
    func()


async def _end(portal: BlockingPortal, on_stop: Callable[[], Awaitable[object]]) -> None:
    await on_stop()
    await portal.stop(cancel_remaining=True)


def _run(started: Future[BlockingPortal]) -> None:
    async def serve() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    anyio.run(serve)
