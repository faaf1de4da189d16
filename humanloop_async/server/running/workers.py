"""Several server processes on one address.

On Linux each has a listening socket of its own (``SO_REUSEPORT``), among which the kernel spreads connections evenly; a
socket that all accept from gives most of a burst to whoever wakes first. Elsewhere, where that option spreads nothing,
they share one. All sockets belong to the parent: when a worker dies, the connections that wait for it are kept for the
one that takes its place.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress

import msgspec

from ..service import ensure_api_key
from ..settings import ServeError, ServerSettings
from ..storage.database import Database
from .serve import ServerInfo, base_url, cannot_listen, stopped_by_hangup, stopped_by_signals
from .worker import Work

MAX_DEATHS, DEATHS_WITHIN = 5, 60.0
"""How many workers may die within how many seconds; one more, and all stop."""

START_SECONDS = 60.0
"""Longest time a worker may take to come up."""

logger = logging.getLogger(__name__)


async def serve_workers(
    settings: ServerSettings, count: int, *, access_log: bool, on_ready: Callable[[ServerInfo], object] | None = None
) -> None:
    """Serve with several processes until SIGTERM, SIGINT, SIGHUP or cancellation, and then stop as `serve` does.

    A process that dies is replaced. Each has its own bounds, `ServerSettings.max_generations` among them.

    Args:
        count: How many processes, beside this one, which only looks after them.
        access_log: Whether they write a line per request to standard error.
        on_ready: Called once all of them listen, with their address and a key that was made.

    Raises:
        ServeError: They may not or cannot listen on the address, or die again and again.
        DatabaseError: The database cannot be opened.
    """
    database = await Database.open(settings.database)  # once and here: no worker finds old tables
    try:
        new_key = await ensure_api_key(database, settings)
    finally:
        await database.aclose()
    stop = asyncio.Event()
    with ExitStack() as stack:
        stack.enter_context(stopped_by_hangup(stop))
        listeners = [stack.enter_context(listener) for listener in _listeners(settings, count)]
        info = ServerInfo(base_url=base_url(listeners[0].getsockname()), new_key=new_key)
        works = [Work(settings=settings, listener=one.fileno(), access_log=access_log) for one in listeners]
        workers = _Workers(count, lambda: on_ready and on_ready(info))
        with stopped_by_signals(stop):
            try:
                await _first(stop.wait(), *(workers.keep(works[index % len(works)]) for index in range(count)))
            finally:
                workers.tell_to_stop()
        # From here on a second SIGINT or SIGTERM ends this process, and with it the workers, at once.
        await workers.ended()


class _Workers:
    def __init__(self, count: int, on_ready: Callable[[], object]) -> None:
        self._missing = count  # of those to be ready before the first time all are
        self._on_ready = on_ready
        self._processes: set[Process] = set()
        self._deaths: deque[float] = deque()

    async def keep(self, work: Work) -> None:
        """Start one, and another one when it has died; ends by `ServeError` only."""
        while True:
            process = await self._start(work)
            if await _is_ready(process, work):
                self._missing -= 1
                if self._missing == 0:
                    self._on_ready()
            elif self._missing > 0:
                raise ServeError("a server process did not come up; what it said is above")
            await process.wait()
            self._processes.discard(process)
            self._count_death(process)

    def tell_to_stop(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.terminate()

    async def ended(self) -> None:
        try:
            await asyncio.gather(*(process.wait() for process in self._processes))
        finally:
            self.tell_to_stop()  # again, when cancelled: at once

    async def _start(self, work: Work) -> Process:
        # A session of its own: Ctrl-C in a terminal is for the parent, which tells the others.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "humanloop_async.server.running.worker",
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
            pass_fds=[work.listener],
        )
        self._processes.add(process)
        return process

    def _count_death(self, process: Process) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - DEATHS_WITHIN:
            self._deaths.popleft()
        if len(self._deaths) > MAX_DEATHS:
            raise ServeError(f"{len(self._deaths)} server processes died within {DEATHS_WITHIN:g} seconds; giving up")
        logger.warning("server process %s ended with status %s; starting another", process.pid, process.returncode)


async def _is_ready(process: Process, work: Work) -> bool:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # Through the pipe, because arguments and environment can be read by others.
        process.stdin.write(msgspec.json.encode(work) + b"\n")
        async with asyncio.timeout(START_SECONDS):
            return await process.stdout.readline() == b"ready\n"
    except (ConnectionError, TimeoutError):
        with suppress(ProcessLookupError):
            process.kill()
        return False


async def _first(*waits: Awaitable[object]) -> None:
    """Until one of them has ended; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _listeners(settings: ServerSettings, count: int) -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
        if not sys.platform.startswith("linux"):
            return [listener]
        address = listener.getsockname()
        listener.close()  # bound without the option, it made sure that no other server has the port
        return [socket.create_server(address, family=family, reuse_port=True) for _ in range(count)]
    except (OSError, UnicodeError) as exc:
        raise cannot_listen(settings, exc) from exc
