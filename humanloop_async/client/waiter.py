"""Wait until another task has read the socket: with `DirectWaiter` under asyncio, with anyio's event under trio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio

from ..transport.wakeup import DirectWaiter, call_before_poll


def when_idle(loop: asyncio.AbstractEventLoop | None, callback: Callable[[], object]) -> None:
    """Run a callback once the current task waits; under trio (`loop` is None), at once."""
    if loop is None:
        callback()
    else:
        call_before_poll(loop, callback)


class Waiter:
    """One waiting reader. Waking it again has no effect."""

    __slots__ = ("_direct", "_event")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        # Under asyncio, anyio's event costs 5 to 10 us for each wake-up, which is much for one chunk.
        self._direct = DirectWaiter(loop) if loop is not None else None
        self._event = anyio.Event() if loop is None else None

    @property
    def awake(self) -> bool:
        """Whether the reader was woken or cancelled; its task then runs soon."""
        return self._direct.done() if self._direct is not None else self._event is not None and self._event.is_set()

    async def wait(self) -> None:
        """Wait for `wake`."""
        if self._direct is not None:
            await self._direct
        elif self._event is not None:
            await self._event.wait()

    def wake(self) -> None:
        """Resume the reader."""
        if self._direct is not None:
            self._direct.wake()
        elif self._event is not None:
            self._event.set()
