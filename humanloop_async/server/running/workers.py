"""Several server processes on one address.

On Linux each has a separate listening socket (``SO_REUSEPORT``), among which the kernel spreads connections evenly;
with one shared socket, the process that wakes first accepts most of a burst. Other systems do not spread connections
with that option, so there the processes share one socket. The parent owns all sockets: when a worker dies, connections
in its backlog are kept for its replacement.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Self, TypeVar

import msgspec

from ..service import check_new_database, discard_key, ensure_api_key, load_metrics
from ..settings import ServeError, ServerSettings
from ..storage.database import Database
from .log_output import LogOptions
from .serve import ServerInfo, base_url, cannot_listen
from .signals import StopSignals
from .worker import WorkerConfig

MAX_DEATHS, DEATHS_WITHIN = 5, 60.0
"""Most workers that may die within a number of seconds; after one more, all stop."""

START_TIMEOUT = 60.0
"""Seconds that a worker may take to start."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


async def serve_workers(
    settings: ServerSettings,
    count: int,
    *,
    log: LogOptions,
    on_start: Callable[[], object] | None = None,
    on_ready: Callable[[ServerInfo], object] | None = None,
) -> None:
    """Serve with several processes until SIGTERM, SIGINT, SIGHUP or cancellation, and then stop as `serve` does.

    A process that dies is replaced. Limits such as `ServerSettings.max_generations` apply to each process.

    Args:
        settings: Configuration of each process.
        count: Number of processes, not counting this one, which only supervises them.
        log: Options of the processes' logs.
        on_start: Called when the address is bound, before the database is opened.
        on_ready: Called when all processes listen.

    Raises:
        ServeError: The processes cannot listen on the address, must not without an API key, or die again and again.
        DatabaseError: The database cannot be opened.
    """
    signals, keys, shown = StopSignals(), None, False

    async def store_key(database: Database) -> None:
        nonlocal keys
        keys = await ensure_api_key(database, settings)

    def show() -> None:
        nonlocal shown
        assert keys is not None
        # A second signal goes to the workers, too. They end with this process at the latest, which closes their pipes.
        signals.started(workers.terminate)
        info = ServerInfo(
            base_url=base_url(listeners[0].getsockname()),
            new_key=keys.new_key,
            other_keys=keys.others,
            stop_now=workers.terminate,
        )
        if on_ready is not None:
            on_ready(info)
        shown = True

    with signals.handled(), ExitStack() as stack:
        metrics = stack.enter_context(SharedMetrics()) if settings.metrics else None
        listeners = [stack.enter_context(listener) for listener in _listeners(settings, count)]
        check_new_database(settings)
        if on_start is not None:
            on_start()
        workers = _Workers(count, show, metrics)
        try:
            await _with_database(settings, store_key)  # migrates the tables before any worker starts
            configs = [WorkerConfig(settings=settings, listener=listener.fileno(), log=log) for listener in listeners]
            supervisors = (workers.supervise(configs[index % len(configs)]) for index in range(count))
            await _wait_for_first(signals.wait(), *supervisors)
        finally:
            workers.terminate()
            if keys is not None and not shown:
                await _with_database(settings, partial(discard_key, keys=keys))
        await workers.wait()


async def _with_database(settings: ServerSettings, work: Callable[[Database], Awaitable[T]]) -> T:
    database = await Database.open(settings.database)
    try:
        return await work(database)
    finally:
        await database.aclose()


class SharedMetrics:
    """The folder in which the workers keep their metrics, as long as the block.

    Raises:
        ServeError: The library for metrics is not installed.
    """

    def __init__(self) -> None:
        self._module = load_metrics()

    def __enter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory(prefix="humanloop-metrics-", ignore_cleanup_errors=True)
        self.environment = {self._module.FOLDER: self._temporary.name}
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def forget(self, pid: int) -> None:
        """Remove the current values of a worker that has ended."""
        self._module.forget_process(self._temporary.name, pid)


class _Workers:
    def __init__(self, count: int, on_ready: Callable[[], object], metrics: SharedMetrics | None) -> None:
        self._metrics = metrics
        self._missing = count  # workers to wait for before `on_ready`
        self._on_ready = on_ready
        self._processes: set[Process] = set()
        self._deaths: deque[float] = deque()

    async def supervise(self, config: WorkerConfig) -> None:
        """Start a worker, and replace it when it dies. Does not return.

        Raises:
            ServeError: The first worker fails to start, or workers die too often.
        """
        while True:
            process = await self._start(config)
            if await _is_ready(process, config):
                self._missing -= 1
                if self._missing == 0:
                    self._on_ready()
            elif self._missing > 0:
                raise ServeError("a worker failed to start; see its output above")
            await process.wait()
            self._processes.discard(process)
            if self._metrics is not None:
                self._metrics.forget(process.pid)
            self._count_death(process)

    def terminate(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.terminate()

    async def wait(self) -> None:
        try:
            await asyncio.gather(*(process.wait() for process in self._processes))
        finally:
            self.terminate()  # if cancelled, a second SIGTERM ends them at once

    async def _start(self, config: WorkerConfig) -> Process:
        # A new session: Ctrl-C in a terminal goes to the parent only, which terminates the workers.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "humanloop_async.server.running.worker",
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
            pass_fds=[config.listener],
            env={**os.environ, **(self._metrics.environment if self._metrics is not None else {})},
        )
        self._processes.add(process)
        return process

    def _count_death(self, process: Process) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - DEATHS_WITHIN:
            self._deaths.popleft()
        if len(self._deaths) > MAX_DEATHS:
            raise ServeError(f"{len(self._deaths)} workers died within {DEATHS_WITHIN:g} seconds; see the log above")
        logger.warning("worker %s exited with status %s; starting a replacement", process.pid, process.returncode)


async def _is_ready(process: Process, config: WorkerConfig) -> bool:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # Through the pipe, because other users can read arguments, and the configuration contains keys.
        process.stdin.write(msgspec.json.encode(config) + b"\n")
        async with asyncio.timeout(START_TIMEOUT):
            return await process.stdout.readline() == b"ready\n"
    except (ConnectionError, TimeoutError):
        with suppress(ProcessLookupError):
            process.kill()
        return False


async def _wait_for_first(*awaitables: Awaitable[object]) -> None:
    """Wait until one of them has finished, and cancel the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
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
        listener.close()  # bound without the option, it has shown that no other server has the port
        return [socket.create_server(address, family=family, reuse_port=True) for _ in range(count)]
    except (OSError, UnicodeError) as exc:
        raise cannot_listen(settings, exc) from exc
