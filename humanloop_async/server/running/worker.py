"""One process of `humanloop_async.server.running.workers`.

It gets its work on standard input, listens on a socket it inherited, says ``ready`` on standard output, and stops on
SIGTERM or SIGHUP. A parent that dies closes the pipe, which has the same effect.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys

import msgspec
from msgspec import Struct

from ..http.access_log import access_logger
from ..settings import ServeError, ServerSettings
from ..storage.errors import DatabaseError
from .serve import raise_file_limit, run, running, stopped_by_hangup, stopped_by_signals


class Work(Struct, frozen=True, kw_only=True):
    """What a worker is started with."""

    settings: ServerSettings
    listener: int  # file descriptor
    access_log: bool


class _Parent(asyncio.Protocol):
    def connection_lost(self, exc: Exception | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # the second one ends a process that is stopping already


async def _serve(work: Work) -> None:
    stop = asyncio.Event()
    listener = socket.socket(fileno=work.listener)  # closed by the server
    await asyncio.get_running_loop().connect_read_pipe(_Parent, sys.stdin)
    with stopped_by_hangup(stop):
        async with running(work.settings, listener):
            with stopped_by_signals(stop):
                print("ready", flush=True)
                await stop.wait()


def main() -> None:
    """Serve until told to stop."""
    work = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    logging.basicConfig(format=f"%(asctime)s [{os.getpid()}] %(levelname)s %(message)s")
    access_logger.setLevel(logging.INFO if work.access_log else logging.WARNING)
    raise_file_limit(work.settings.max_generations)
    try:
        run(_serve(work))
    except (ServeError, DatabaseError, OSError) as exc:
        sys.exit(f"humanloop-async: {exc}".partition("\n")[0])


if __name__ == "__main__":
    main()
