"""Run a load in worker processes, each with one event loop, and merge their records.

The caller's process only waits: printing progress there does not delay the measurement.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from .generator import LoadGenerator, Outcome, Plan, Progress
from .health import Health
from .recording import Record
from .settings import TargetSettings
from .targets import open_target

_START_DELAY = 0.3
_STOP_TIMEOUT = 10.0

Connection = multiprocessing.connection.Connection


class WorkerFailed(Exception):
    """A load generator's process failed; the message is its traceback."""


@dataclass
class Result:
    """The merged records of all processes, and the health of each.

    Attributes:
        records: The records, in order of sending.
        processes: The health of each process.
        wall: The longest run, in seconds.
        interrupted: Whether a run was stopped before its end.
        origins: The start of each process's run, in seconds of `time.perf_counter`.
    """

    records: list[Record]
    processes: list[Health]
    wall: float
    interrupted: bool
    origins: list[float] = field(default_factory=list[float])


def run_in_processes(
    plan: Plan, settings: TargetSettings, processes: int, on_progress: Callable[[Progress], None] | None = None
) -> Result:
    """Run a plan in worker processes.

    SIGINT ends the load early and returns the records so far; a second one raises `KeyboardInterrupt`.

    Args:
        plan: The run, which the processes share.
        settings: The server.
        processes: Number of processes.
        on_progress: Called about twice a second with the sum over all processes.

    Raises:
        WorkerFailed: A process failed.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, multiprocessing.process.BaseProcess] = {}
    with _Interrupts() as interrupts:
        for number in range(processes):
            ours, theirs = context.Pipe()
            share = replace(plan, process=number, processes=processes)
            worker: multiprocessing.process.BaseProcess = context.Process(
                target=_work, args=(theirs, share, settings), daemon=True
            )
            worker.start()
            theirs.close()
            workers[ours] = worker
        interrupts.stop_on_signal(list(workers))
        return _run_workers(workers, on_progress)


def _run_workers(
    workers: dict[Connection, multiprocessing.process.BaseProcess], on_progress: Callable[[Progress], None] | None
) -> Result:
    try:
        return _collect(list(workers), on_progress)
    finally:
        for connection, worker in workers.items():
            connection.close()
            worker.join(_STOP_TIMEOUT)
            if worker.is_alive():
                worker.kill()
                worker.join()


class _Interrupts:
    """Turns SIGINT into an orderly end of the workers; has no effect outside of the main thread.

    Raising `KeyboardInterrupt` instead could lose half of a message that is being received.
    """

    def __init__(self) -> None:
        self._connections: list[Connection] = []
        self._main = threading.current_thread() is threading.main_thread()
        self._before: Any = None

    def __enter__(self) -> Self:
        if self._main:  # processes that start now inherit it: they must not end by the signal
            self._before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        return self

    def stop_on_signal(self, connections: list[Connection]) -> None:
        """Tell the workers to stop at the first signal from now on."""
        self._connections = connections
        if self._main:
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for connection in self._connections:
            with suppress(OSError):
                connection.send("stop")

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)


def _collect(connections: list[Connection], on_progress: Callable[[Progress], None] | None) -> Result:
    outcomes: dict[Connection, Outcome] = {}
    progress: dict[Connection, Progress] = {}
    waiting = set(connections)
    while len(outcomes) < len(connections):
        for ready in multiprocessing.connection.wait([one for one in connections if one not in outcomes]):
            connection = cast("Connection", ready)
            match message := _receive(connection):
                case "ready":
                    waiting.discard(connection)
                    if not waiting:
                        start = time.time() + _START_DELAY
                        for one in connections:
                            one.send(start)
                case Progress():
                    progress[connection] = message
                    if on_progress is not None:
                        on_progress(_sum(list(progress.values())))
                case Outcome():
                    outcomes[connection] = message
                case _:
                    raise WorkerFailed(str(message))
    return Result(
        records=sorted((r for outcome in outcomes.values() for r in outcome.records), key=lambda record: record.sent),
        processes=[outcomes[connection].health for connection in connections],
        wall=max(outcome.wall for outcome in outcomes.values()),
        interrupted=any(outcome.interrupted for outcome in outcomes.values()),
        origins=[outcomes[connection].origin for connection in connections],
    )


def _receive(connection: Connection) -> object:
    try:
        return connection.recv()
    except EOFError:
        return "a load generator's process was killed; is there enough memory?"


def _sum(parts: list[Progress]) -> Progress:
    return Progress(
        sent=sum(part.sent for part in parts),
        ended=sum(part.ended for part in parts),
        failed=sum(part.failed for part in parts),
        tokens=sum(part.tokens for part in parts),
    )


def _work(connection: Connection, plan: Plan, settings: TargetSettings) -> None:
    """Run one share of a plan in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it, and sends "stop"
    raise_file_limit()
    try:
        connection.send("ready")
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_run(connection, plan, settings))
    except (BrokenPipeError, EOFError, ConnectionResetError):  # the parent has ended
        sys.exit(1)
    except BaseException:
        connection.send(traceback.format_exc())
        raise


async def _run(connection: Connection, plan: Plan, settings: TargetSettings) -> None:
    start = await asyncio.to_thread(connection.recv)
    if start == "stop":
        start = time.time()
    target = open_target(settings)
    generator = LoadGenerator(plan, target, connection.send)
    loop = asyncio.get_running_loop()

    def wait_for_stop() -> None:
        with suppress(EOFError, OSError):
            connection.recv()
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(generator.stop)

    await asyncio.sleep(max(0.0, start - time.time()))
    threading.Thread(target=wait_for_stop, daemon=True).start()
    outcome = await generator.run()
    await target.aclose()
    connection.send(outcome)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop if the extra ``fast`` is installed, else None for asyncio's."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def raise_file_limit() -> None:
    """Raise the limit on open files, and so on connections, to the hard limit."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
