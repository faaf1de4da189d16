"""Waiting for another task to read: cheap under asyncio, by anyio's means elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio

from ..transport.arrival import Arrival, soon


def when_idle(loop: asyncio.AbstractEventLoop | None, callback: Callable[[], object]) -> None:
    """Run a callback once the running task waits; at once under trio."""
    if loop is None:
        callback()
    else:
        soon(loop, callback)


class Waiter:
    """One reader that waits. Waking it twice does no harm."""

    __slots__ = ("_arrival", "_event")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        # anyio's event costs 5 to 10 us a hop under asyncio: much, once per chunk.
        self._arrival = Arrival(loop) if loop is not None else None
        self._event = anyio.Event() if loop is None else None

    @property
    def awake(self) -> bool:
        """Woken, or cancelled; either way it runs soon."""
        return self._arrival.done() if self._arrival is not None else self._event is not None and self._event.is_set()

    async def wait(self) -> None:
        if self._arrival is not None:
            await self._arrival
        elif self._event is not None:
            await self._event.wait()

    def wake(self) -> None:
        if self._arrival is not None:
            self._arrival.fire()
        elif self._event is not None:
            self._event.set()
