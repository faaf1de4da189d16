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
"""Seconds to wait for the loop's thread to close its connections, in a finalizer, or to cancel a call; it takes
milliseconds."""


class LoopThread:
    """An event loop in a daemon thread, started on first use.

    It works beside any other event loop, so also in a notebook; a forked child starts a thread of its own. One that is
    dropped, or still runs when the program ends, is stopped like one that `stop` was called on.

    Args:
        on_stop: Called on the loop before it stops.
    """

    def __init__(self, on_stop: Callable[[], Awaitable[object]]) -> None:
        self._lock = threading.Lock()
        self._state = _State(on_stop)
        weakref.finalize(self, self._state.abandon)
        _all.add(self)

    def call(self, func: Callable[[Unpack[ArgsT]], Awaitable[ResultT]], *args: *ArgsT) -> ResultT:
        """Run a coroutine function on the loop and wait for its result.

        An interrupt of the waiting thread (Ctrl-C) cancels the coroutine, and is raised once that has ended. A result
        that came at the same moment is lost; one that must not be is handed over by the coroutine itself.

        Raises:
            ClientClosed: The loop was stopped; what belongs to it, such as a stream, has nothing left to wait for.
            InvalidArgument: Called from the loop's own thread, where waiting would never end.
        """
        with self._lock:  # what is handed over before the loop is told to stop is still ended by it
            portal = self._running()
            if threading.current_thread() is self._state.thread:
                raise InvalidArgument("the sync client was called from its own event loop; use AsyncHumanloop there")
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
        """Run a plain function on the loop some time soon; does nothing when the loop has stopped. For finalizers."""
        portal = self._state.portal
        if portal is not None and self.is_running and not sys.is_finalizing():  # then nobody would answer
            with contextlib.suppress(RuntimeError):  # stopped meanwhile, and its connections with it
                portal.start_task_soon(_call, func)

    def stop(self) -> None:
        """Stop the loop and its thread for good, and end the calls that still run; twice does no harm."""
        with self._lock:
            portal, thread = self._state.take()
        if portal is not None and thread is not None:
            with contextlib.suppress(CancelledError):
                portal.call(_end, portal, self._state.on_stop)
            thread.join()

    @property
    def is_running(self) -> bool:
        return self._state.portal is not None and self._state.pid == os.getpid()

    def _running(self) -> BlockingPortal:
        state = self._state
        if state.stopped:
            raise ClientClosed("the client is closed; make a new one")
        if state.portal is None or state.pid != os.getpid():
            started: Future[BlockingPortal] = Future()
            # A daemon: a program that forgets close() must still be able to end.
            state.thread = threading.Thread(target=_run, args=(started,), name="humanloop_async", daemon=True)
            state.thread.start()
            state.portal, state.pid = started.result(), os.getpid()
        return state.portal


_all: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child, whoever held a lock of the parent is not there to release it."""
    for loop_thread in _all:
        loop_thread._lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not where nothing forks
    os.register_at_fork(after_in_child=_renew_locks)


class _State:
    """What a finalizer of `LoopThread` needs, without the object that it finalizes."""

    def __init__(self, on_stop: Callable[[], Awaitable[object]]) -> None:
        self.on_stop = on_stop
        self.portal: BlockingPortal | None = None
        self.thread: threading.Thread | None = None
        self.pid = 0
        self.stopped = False

    def take(self) -> tuple[BlockingPortal | None, threading.Thread | None]:
        """The loop and the thread to stop, once; none when they are another process's."""
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
