"""The event loops that the client and the transports are tested on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable


def available_loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Plain, eager-task (Python 3.12) and uvloop's loops, as far as they can be had here."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"plain": asyncio.new_event_loop}
    if sys.version_info >= (3, 12):
        loops["eager"] = _eager_loop
    try:
        import uvloop
    except ImportError:
        pass
    else:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


if sys.version_info >= (3, 12):

    def _eager_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop
