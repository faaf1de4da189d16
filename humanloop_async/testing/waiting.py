"""Waiting that `close` can end, for responses without a connection."""

from __future__ import annotations

import math
import time

import anyio

from ..errors import ApiConnectionError
from ..transport.wakeup import running_loop


class ClosableWait:
    """Waits inside the reads of one response until a time, a timeout or `close`.

    Attributes:
        failure: The exception that every further read raises.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self._closed = anyio.Event()  # here, because anyio imports its backend at first use, which takes long
        self._loop = running_loop()

    def check(self) -> None:
        """Raise `failure`, if there is one."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)

    async def until(self, due: float, timeout: float | None) -> None:
        """Wait until a time of `time.monotonic`. A cancelled wait can be repeated.

        Raises:
            TimeoutError: `timeout` seconds have passed. Every further read raises it, too.
            ApiConnectionError: `close` was called.
        """
        self.check()
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while (now := time.monotonic()) < due:
            if now >= deadline:
                self.failure = TimeoutError()
                raise self.failure
            with anyio.move_on_after(min(due, deadline) - now):
                await self._closed.wait()
            self.check()

    def close(self) -> None:
        """Fail the wait and every further read. Thread-safe, because finalizers close responses."""
        if self.failure is None:
            self.failure = ApiConnectionError("the response was closed")
        if self._loop is None or self._loop is running_loop():
            self._closed.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._closed.set)
