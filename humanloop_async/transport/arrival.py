"""Waking the reader of a response without a detour through the event loop.

When a token comes, asyncio calls the protocol, the protocol sets a future, the future asks the loop to wake its
task, and the loop polls all sockets once more before it does. For a stream read token by token that second round costs
as much as receiving and decoding the token.

`Arrival` is a future that steps its task where the bytes were received: after the parser has returned, from the bottom
of the loop, where no task is running. What the task wants done `soon` is done there too, once the task waits
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

_WakeUp = Callable[["asyncio.Future[None]"], object]

_receiving: dict[asyncio.AbstractEventLoop, list[Callable[[], object]]] = {}
"""What is to be done before a loop's `receive` returns, while one runs."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The running asyncio loop of this thread; None under trio, and where none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Arrival(asyncio.Future[None]):
    """A future for one waiting task, which `fire` steps at once where it can.

    Only a task may await it, and only once. Cancellation and `set_exception` work as for any future.

    Attributes:
        tap: Offered what has come before it is fired; may take it from under the task that waits.
    """

    __slots__ = ("_context", "_wake_up", "tap")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._wake_up: _WakeUp | None = None
        self._context: Context | None = None
        self.tap: Callable[[bytes], bool] | None = None

    def add_done_callback(self, fn: _WakeUp, /, *, context: Context | None = None) -> None:  # type: ignore[override]
        """Called by the task that awaits this, with its own wake-up."""
        if self.done():
            super().add_done_callback(fn, context=context)
        else:
            self._wake_up, self._context = fn, context

    def fire(self) -> None:
        """Let the task go on: now, when its loop is running and no task is, else soon. From any thread."""
        if self.done():
            return
        loop = self.get_loop()
        if running_loop() is not loop:
            with suppress(RuntimeError):  # a closed loop runs nothing any more
                loop.call_soon_threadsafe(self.fire)
            return
        if asyncio.current_task(loop) is None:
            self.step()
        else:
            super().set_result(None)
            soon(loop, self._step)

    def step(self) -> None:
        """`fire`, for who knows that the loop is running and no task is."""
        if not self.done():
            super().set_result(None)
            self._step()

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        super().set_exception(exception)
        self.get_loop().call_soon(self._step)

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg=msg)
        if cancelled:
            self.get_loop().call_soon(self._step)
        return cancelled

    def _step(self) -> None:
        if self._wake_up is not None and self._context is not None:
            self._context.run(self._wake_up, self)


def soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Run a callback when the running task waits again: before the loop polls, where that can be had, else after."""
    if (later := _receiving.get(loop)) is not None:
        later.append(callback)
    else:
        loop.call_soon(callback)


def receive(arrival: Arrival) -> None:
    """Fire an arrival, then do what that wants done `soon`. For protocols, after they have parsed what came."""
    loop = arrival.get_loop()
    if loop in _receiving or asyncio.current_task(loop) is not None:
        arrival.fire()
        return
    later: list[Callable[[], object]] = []
    _receiving[loop] = later
    try:
        arrival.step()
        while later:
            later.pop(0)()
    finally:
        del _receiving[loop]
        for callback in later:  # only when one of them ended the program
            loop.call_soon(callback)
