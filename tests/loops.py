"""The event loops on which the client and the transports are tested."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def available_loops(*, debug: bool = False) -> dict[str, LoopFactory]:
    """Return asyncio's loop, the same with eager tasks (Python 3.12), and uvloop's, as far as they are available.

    Args:
        debug: Whether to add asyncio's loop in debug mode.
    """
    loops: dict[str, LoopFactory] = {"plain": asyncio.new_event_loop}
    if sys.version_info >= (3, 12):
        loops["eager"] = _eager_loop
    if debug:
        loops["debug"] = _debug_loop
    try:
        import uvloop
    except ImportError:
        pass
    else:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


def _debug_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


if sys.version_info >= (3, 12):

    def _eager_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop
