"""Server processes that a test kills."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

# Imports happen once; for each line on standard input, a server is forked.
_SERVE = """
import asyncio, os, sys
import aiosqlite, asyncpg
from humanloop_async.server.generation.log_writer import LogWriter
from humanloop_async.server.running.serve import serve
from humanloop_async.server.settings import ServerSettings
from humanloop_async.server.storage import migrations

settings = ServerSettings(port=0, database=sys.argv[1], api_key=sys.argv[2], python_evaluators=sys.argv[4] == "python")
LogWriter.__init__.__defaults__ = (float(sys.argv[3]),)  # the lease
for _ in sys.stdin:
    if (pid := os.fork()) == 0:
        asyncio.run(serve(settings, on_ready=lambda info: print(os.getpid(), info.base_url, flush=True)))
        os._exit(0)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


class Servers:
    """Server processes on one database, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def start(self) -> tuple[int, str]:
        """Start a server, and return its process id and URL."""
        self._stdin.write(b"go\n")
        pid, url = (await self._stdout.readline()).decode().split()
        return int(pid), url

    async def kill(self, pid: int) -> None:
        """Kill the server that was started last."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert int(await self._stdout.readline()) == signal.SIGKILL

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[tuple[int, str]]:
        """Start a server, provide its process id and URL, and kill it at the end of the block."""
        pid, url = await self.start()
        try:
            yield pid, url
        finally:
            await self.kill(pid)


@asynccontextmanager
async def forked_servers(
    database: str, key: str, *, lease: float = 15, python: bool = False
) -> AsyncGenerator[Servers]:
    """Provide servers on a database.

    Args:
        database: Path or URL.
        key: Their API key.
        lease: Seconds for which a killed server counts as alive.
        python: Whether they run python evaluators.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SERVE, database, key, str(lease), "python" if python else "-"), stdin=-1, stdout=-1
    )
    try:
        yield Servers(process)
    finally:
        await process.communicate(b"")  # it exits at the end of its standard input
