"""Wake the task that reads a response without a round trip through the event loop.

When a token arrives, asyncio calls the protocol, the protocol sets a future, the future asks the loop to wake its
task, and the loop polls every socket once more before it runs that task. For a stream that is read token by token, the
second round costs as much as receiving and decoding the token.

`DirectWaiter` is a future that resumes its task from the protocol callback instead: after the parser has returned, when
the event loop has no current task. Callbacks that the task passes to `call_before_poll` run there too, once the task
waits again.

The environment variable ``HUMANLOOP_DIRECT_WAKEUP=0``, read on import, turns this off. Waiters are then ordinary
futures, and the event loop wakes their tasks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

_WakeUp = Callable[["asyncio.Future[None]"], object]

_DIRECT = os.environ.get("HUMANLOOP_DIRECT_WAKEUP") != "0"

_RUN_ONCE: object = getattr(asyncio.BaseEventLoop, "_run_once", None)

_before_poll: dict[asyncio.AbstractEventLoop, list[Callable[[], object]]] = {}
"""Callbacks to run before `wake_and_flush` returns, for each loop on which it is running."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return this thread's running asyncio loop; None under trio and outside of event loops."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class DirectWaiter(asyncio.Future[None]):
    """A future for one waiting task, which `wake` resumes at once if the event loop has no current task.

    Only a task may await it, and only once. Cancellation and `set_exception` work as for any future.

    Attributes:
        on_data: Called with new data before the task is woken; returns True if it consumed the data.
    """

    __slots__ = ("_context", "_resume_task", "on_data")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._resume_task: _WakeUp | None = None
        self._context: Context | None = None
        self.on_data: Callable[[bytes], bool] | None = None

    def add_done_callback(self, fn: _WakeUp, /, *, context: Context | None = None) -> None:  # type: ignore[override]
        """Keep the callback by which the awaiting task is resumed, so that asyncio does not schedule it."""
        # As `_is_nestable`, without a call for each token.
        nestable = getattr(type(self.get_loop()), "_run_once", _RUN_ONCE) is not _RUN_ONCE
        if nestable or not _DIRECT or self.done():
            super().add_done_callback(fn, context=context)
        else:
            self._resume_task, self._context = fn, context

    def wake(self) -> None:
        """Resume the task: at once if its loop is running without a current task, else soon. Thread-safe."""
        if self.done():
            return
        loop = self.get_loop()
        if running_loop() is not loop:
            with suppress(RuntimeError):  # a closed loop runs no callbacks
                loop.call_soon_threadsafe(self.wake)
            return
        if asyncio.current_task(loop) is None:
            self.wake_now()
        else:
            super().set_result(None)
            call_before_poll(loop, self._resume)

    def wake_now(self) -> None:
        """`wake` without the checks: the caller guarantees a running loop and no current task."""
        if not self.done():
            super().set_result(None)
            self._resume()

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        super().set_exception(exception)
        self.get_loop().call_soon(self._resume)

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg=msg)
        if cancelled:
            self.get_loop().call_soon(self._resume)
        return cancelled

    def _resume(self) -> None:
        resume, context = self._resume_task, self._context
        if resume is None or context is None:
            return
        # A cancelled task's traceback refers to this waiter. If the waiter referred to the task, only the garbage
        # collector could free them, and the stream that the task was reading.
        self._resume_task = self._context = None
        try:
            context.run(resume, self)
        except RuntimeError:  # the running callback has entered the task's context, so the task did not run
            self.get_loop().call_soon(resume, self, context=context)
        except (SystemExit, KeyboardInterrupt) as exc:  # of the task; uvloop's protocols would only log it
            self.get_loop().call_soon(_raise, exc)


def _raise(exc: BaseException) -> None:
    raise exc


def call_before_poll(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Run a callback when the current task waits again: before the next poll if possible, else with `call_soon`."""
    if (callbacks := _before_poll.get(loop)) is None or _is_nestable(loop):
        loop.call_soon(callback)
    else:
        callbacks.append(callback)


def _is_nestable(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a package such as nest_asyncio lets the loop run inside one of its tasks, as notebooks do.

    If a protocol callback resumed a task of such a loop, the loop could call the protocol again before the task waits.
    A task that `wake_and_flush` has resumed may itself patch the loop and run it; its callbacks would wait for the end
    of that run, and the run for them.
    """
    return getattr(type(loop), "_run_once", _RUN_ONCE) is not _RUN_ONCE


def wake_and_flush(waiter: DirectWaiter) -> None:
    """Wake a waiter, then run the callbacks its task left with `call_before_poll`.

    For protocols, to be called after they have parsed the received data.
    """
    loop = waiter.get_loop()
    if loop in _before_poll or asyncio.current_task(loop) is not None:
        waiter.wake()
        return
    callbacks: list[Callable[[], object]] = []
    _before_poll[loop] = callbacks
    try:
        waiter.wake_now()
        while callbacks:
            callbacks.pop(0)()
    finally:
        del _before_poll[loop]
        for callback in callbacks:  # left only if a callback raised
            loop.call_soon(callback)
