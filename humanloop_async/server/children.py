"""Processes that run templates, code of users, or models: without the keys of the server.

Such a process gets no descriptors but its standard streams either, because Python's are not inheritable (PEP 446).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence

START_SECONDS = 30.0
"""Longest time to start a process, in seconds."""

MAX_REPLY = 64 * 1024 * 1024
"""Longest reply of a process, in bytes."""

_NAMES = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "SYSTEMROOT",
    "TMPDIR",
    "VIRTUAL_ENV",
)


def child_environment(*, prefixes: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that Python needs, and those that begin with one of `prefixes`."""
    wanted = tuple(prefixes)
    return {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(wanted)}


class ChildEnded(Exception):
    """The process ended before it replied, or its reply is too long."""


class ChildProcess:
    """A process that first writes a line, and then replies with a line to each line that it gets.

    It is started by the first request, and again after it had to be killed.

    Args:
        arguments: The program and its arguments.
        environment: All variables of its environment.
        directory: Its working directory; None for that of the server.
        max_reply: Longest reply, in bytes.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        directory: str | None = None,
        max_reply: int = MAX_REPLY,
    ) -> None:
        self._arguments = arguments
        self._environment = environment
        self._directory = directory
        self._max_reply = max_reply
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> bytes:
        """Start the process, and return its first line.

        Raises:
            ChildEnded: The process did not start.
        """
        await self.aclose()
        self._process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=self._max_reply,
            env=self._environment,
            cwd=self._directory,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._read_line()
        except BaseException:
            await self.aclose()
            raise

    async def request(self, request: bytes, seconds: float) -> bytes:
        """Return the reply to a request. If there is none, the process is killed.

        Raises:
            TimeoutError: There was no reply within `seconds`.
            ChildEnded: The process ended.
        """
        if self._process is None or self._process.returncode is not None:
            await self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            async with asyncio.timeout(seconds):
                try:
                    self._process.stdin.write(request + b"\n")
                    await self._process.stdin.drain()
                except ConnectionError as exc:
                    raise ChildEnded from exc
                return await self._read_line()
        except BaseException:
            await self.aclose()  # the next request would read the reply to this one
            raise

    async def _read_line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as exc:
            raise ChildEnded from exc

    async def aclose(self) -> None:
        """Kill the process. Calling it again has no effect."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.communicate()  # also closes its pipes
