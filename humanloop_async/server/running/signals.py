"""Signals that stop a server.

The first one lets it finish, a second one ends the process within a second. So does the first one while it starts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

EXIT_TIME = 0.8
"""Seconds from the last signal to the end of the process, in which the server stores what it has."""


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP, as requests to stop.

    The handlers are installed from the start of the server to the end of its shutdown. Python's default handlers are no
    substitute: they raise an exception inside the shutdown, which may then hang, and the process with id 1 of a
    container has no default for SIGTERM.
    """

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._stop_now: Callable[[], object] | None = None
        self._last: int | None = None

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._stop.wait()

    def started(self, stop_now: Callable[[], object]) -> None:
        """Let the next signal end `wait`; until now, it cancels the task and ends the process.

        Args:
            stop_now: Called on a second SIGINT or SIGTERM; it makes the shutdown end soon.
        """
        self._stop_now = stop_now

    @contextmanager
    def handled(self) -> Generator[None]:
        """Handle the signals inside the block, which must include the start and the shutdown.

        A signal during the start cancels the current task, and a second one during the shutdown calls `stop_now`. After
        `EXIT_TIME` the process ends anyway. A second SIGHUP has no effect, because a closing terminal may send two. A
        process that ignores SIGHUP, as under ``nohup``, keeps ignoring it.

        Raises:
            SystemExit: At the end of the block, after such a signal; its code is 128 and the signal's number.
        """

        def received(number: int) -> None:
            if self._last is not None:
                return
            if self._stop_now is not None and not self._stop.is_set():
                self._stop.set()
            elif self._stop_now is None or number != hangup:
                self._last = number
                # A thread, because the event loop may be blocked, or have ended by then.
                timer = threading.Timer(EXIT_TIME, os._exit, [128 + number])
                timer.daemon = True
                timer.start()
                (self._stop_now or cancel_start)()

        hangup = getattr(signal, "SIGHUP", None)
        numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
            numbers.append(hangup)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancel_start = task.cancel
        installed: list[int] = []
        # Not possible on Windows, nor in another thread than the main one: callers cancel the task instead.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in numbers:
                loop.add_signal_handler(number, received, number)
                installed.append(number)
        try:
            yield
        except asyncio.CancelledError:
            if self._last is None:
                raise
        finally:
            for number in installed:
                loop.remove_signal_handler(number)
        if self._last is not None:
            sys.exit(128 + self._last)
