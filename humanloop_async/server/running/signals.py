"""Signals that stop a server: the first one lets it finish, a second one ends the process within a second."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

EXIT_TIME = 0.8
"""Seconds from the second signal to the end of the process, in which the server stores what it has."""


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP, as requests to stop.

    The handlers stay installed during the shutdown. Python's default handlers are no substitute: they raise an
    exception inside the shutdown, which may then hang, and the process with id 1 of a container has no default for
    SIGTERM.
    """

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._second: int | None = None

    async def wait(self) -> None:
        """Wait for the first signal."""
        await self._stop.wait()

    @contextmanager
    def handled(self, stop_now: Callable[[], object]) -> Generator[None]:
        """Handle the signals inside the block, which must include the shutdown.

        A second SIGHUP has no effect, because a closing terminal may send two. A process that ignores SIGHUP, as under
        ``nohup``, keeps ignoring it.

        Args:
            stop_now: Called on a second SIGINT or SIGTERM; it makes the shutdown end soon. After `EXIT_TIME` the
                process ends anyway.

        Raises:
            SystemExit: At the end of the block, after a second signal; its code is 128 and the signal's number.
        """

        def received(number: int) -> None:
            if not self._stop.is_set():
                self._stop.set()
            elif number != hangup and self._second is None:
                self._second = number
                # A thread, because the event loop may be blocked, or have ended by then.
                timer = threading.Timer(EXIT_TIME, os._exit, [128 + number])
                timer.daemon = True
                timer.start()
                stop_now()

        hangup = getattr(signal, "SIGHUP", None)
        numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
            numbers.append(hangup)
        loop = asyncio.get_running_loop()
        installed: list[int] = []
        # Not possible on Windows, nor in another thread than the main one: callers cancel the task instead.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in numbers:
                loop.add_signal_handler(number, received, number)
                installed.append(number)
        try:
            yield
        finally:
            for number in installed:
                loop.remove_signal_handler(number)
        if self._second is not None:
            sys.exit(128 + self._second)
