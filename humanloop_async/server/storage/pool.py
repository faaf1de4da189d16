"""A bounded pool of connections, which waits for one where SQLAlchemy's would fail or wait too long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MAX_WAIT = 30.0
"""Longest wait for a connection, in seconds."""

MIN_PAUSE, MAX_PAUSE = 0.02, 0.5
"""Pause before PostgreSQL is asked again for a connection, in seconds; it doubles from one try to the next."""

_TOO_MANY_CONNECTIONS = "53300"  # SQLSTATE


class Pool:
    """Connections of an engine, of which at most `size` are in use at the same time.

    Waiting happens here, and not in SQLAlchemy's pool. If that one fails to open a connection, callers that wait for
    one are not woken, although they could try themselves.

    Attributes:
        engine: The engine, whose own pool has at least `size` connections.
        waits: Number of callers that had to wait.
        seconds_waited: Their waits in total.
    """

    def __init__(self, engine: AsyncEngine, size: int) -> None:
        self.engine = engine
        self.waits = 0
        self.seconds_waited = 0.0
        self._free = asyncio.Semaphore(size)

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[AsyncConnection]:
        """Provide a connection inside the block.

        Raises:
            TimeoutError: No connection became free within `MAX_WAIT`.
        """
        async with AsyncExitStack() as stack:
            if self._free.locked():
                start = time.monotonic()
                self.waits += 1
                try:
                    async with asyncio.timeout(MAX_WAIT):
                        await self._free.acquire()
                except TimeoutError as exc:
                    raise TimeoutError(f"no connection became free within {MAX_WAIT:g} seconds") from exc
                finally:
                    self.seconds_waited += time.monotonic() - start
            else:
                await self._free.acquire()
            stack.callback(self._free.release)
            yield await self._connect(stack)

    async def _connect(self, stack: AsyncExitStack) -> AsyncConnection:
        """Take an idle connection, or open one. If PostgreSQL has none left, wait until one of both is possible."""
        start, pause = time.monotonic(), MIN_PAUSE
        while True:
            try:
                return await stack.enter_async_context(self.engine.connect())
            except Exception as exc:
                state = getattr(getattr(exc, "orig", exc), "sqlstate", None)
                if state != _TOO_MANY_CONNECTIONS or time.monotonic() - start > MAX_WAIT:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.engine.dispose()
