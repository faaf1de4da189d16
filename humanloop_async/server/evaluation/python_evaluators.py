"""Run the code of python evaluators, each run in a new process (`.python_child`)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ...types import Json
from ..children import ChildEnded, ChildProcess

MAX_SECONDS = 15.0
"""Longest run of an evaluator, in seconds. The process limits its CPU time, too."""

PROCESSES = 2
"""Most processes at the same time; further runs wait."""

MAX_REPLY = 64 * 1024
"""Longest reply of an evaluator, in bytes."""

_CHILD = str(Path(__file__).with_name("python_child.py"))
_PROBE = "def probe():\n    return True\n"


class CodeError(Exception):
    """The code of an evaluator failed, or exceeded a limit; the message is for its author."""


class IsolationUnavailable(Exception):
    """The system cannot isolate the code of evaluators; the message says what is missing."""


class _Reply(Struct):
    value: Json = None
    error: str | None = None
    unavailable: str | None = None


class PythonEvaluators:
    """Runs evaluators, at most `PROCESSES` at the same time.

    Args:
        max_seconds: Longest run of an evaluator, in seconds.
    """

    def __init__(self, max_seconds: float = MAX_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._free = asyncio.Semaphore(PROCESSES)

    async def check(self) -> None:
        """Check that this system can isolate an evaluator.

        Raises:
            IsolationUnavailable: It cannot.
        """
        try:
            await self.run(_PROBE, [])
        except CodeError as exc:
            raise IsolationUnavailable(f"a test of python evaluators failed: {exc}") from exc

    async def run(self, code: str, arguments: Sequence[Json]) -> Json:
        """Return what the last function in `code` returns for the arguments.

        Raises:
            CodeError: The code raised an error, or exceeded a limit.
            IsolationUnavailable: The code did not run.
        """
        # -I: no path or site of the user. The environment is empty.
        process = ChildProcess([sys.executable, "-I", "-X", "utf8", _CHILD], {}, "/", MAX_REPLY)
        request = msgspec.json.encode({"code": code, "arguments": arguments})
        async with self._free:
            try:
                ready = msgspec.json.decode(await process.start(), type=_Reply)
                if ready.unavailable is not None:
                    raise IsolationUnavailable(ready.unavailable)
                reply = msgspec.json.decode(await process.request(request, self._max_seconds), type=_Reply)
            except TimeoutError as exc:
                raise CodeError(f"the code ran for more than {self._max_seconds:g} seconds") from exc
            except (ChildEnded, msgspec.MsgspecError) as exc:
                raise CodeError("the code ended its process, or exceeded a limit of CPU time or memory") from exc
            finally:
                await process.aclose()
        if reply.error is not None:
            raise CodeError(reply.error)
        return reply.value
