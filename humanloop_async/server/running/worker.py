"""One process of `humanloop_async.server.running.workers`.

It reads its configuration from standard input, listens on an inherited socket, prints ``ready`` on standard output, and
stops on SIGTERM or SIGHUP. It also stops when its parent dies, which closes the pipe.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import msgspec
from msgspec import Struct

from ..settings import ServeError, ServerSettings
from ..storage.errors import DatabaseError
from .log_output import LogOptions, configure_logging
from .serve import raise_file_limit, run, running
from .signals import StopSignals


class WorkerConfig(Struct, frozen=True, kw_only=True):
    """Configuration of a worker, as its parent sends it."""

    settings: ServerSettings
    listener: int  # file descriptor
    log: LogOptions


class _ParentPipe(asyncio.Protocol):
    def connection_lost(self, exc: Exception | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # a second signal if the process is already stopping


async def _serve(config: WorkerConfig) -> None:
    signals = StopSignals()
    listener = socket.socket(fileno=config.listener)  # closed by the server
    listener.set_inheritable(False)  # it had to be inherited by this process, but not by its children
    await asyncio.get_running_loop().connect_read_pipe(_ParentPipe, sys.stdin)
    with signals.handled():
        async with running(config.settings, listener) as info:
            signals.started(info.stop_now)
            print("ready", flush=True)
            await signals.wait()


def main() -> None:
    """Serve until a signal arrives or the parent dies."""
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerConfig)
    configure_logging(config.log)
    raise_file_limit(config.settings.max_generations)
    try:
        run(_serve(config))
    except (ServeError, DatabaseError, OSError) as exc:
        sys.exit(f"humanloop-async: {exc}".partition("\n")[0])


if __name__ == "__main__":
    main()
