"""Render Jinja templates in separate processes. One that takes too long is killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from ...types import Json
from ..children import ChildEnded, ChildProcess, child_environment
from .template import TemplateError, missing_inputs

MAX_SECONDS = 2.0
"""Longest time to render the templates of one call, in seconds, once the process has started."""

WORKERS = 4
"""Most processes. Each is started when all others are in use."""

MAX_WAIT = 5.0
"""Longest wait for a process, in seconds."""


class _Reply(Struct):
    results: list[str] | None = None
    missing: list[str] | None = None
    error: str = ""


class Busy(Exception):
    """All processes have rendered other templates for `MAX_WAIT`."""


class JinjaRenderer:
    """Renders in several processes; one caller gets at most half of them at the same time.

    Args:
        max_seconds: Longest time to render the templates of one call.
        max_wait: Longest wait for a process.
    """

    def __init__(self, max_seconds: float = MAX_SECONDS, max_wait: float = MAX_WAIT) -> None:
        self._max_wait = max_wait
        self._workers = [_Worker(max_seconds) for _ in range(WORKERS)]
        self._idle = [*self._workers]
        self._free = asyncio.Semaphore(WORKERS)
        self._shares = WeakValueDictionary[str, asyncio.Semaphore]()  # by caller
        self._decode = msgspec.json.Decoder(_Reply).decode

    async def render(
        self, templates: Sequence[str], inputs: Mapping[str, Json], max_chars: int, caller: str = ""
    ) -> list[str]:
        """Return the rendered templates, which must have at most `max_chars` characters in total.

        Args:
            templates: The templates of one call.
            inputs: The values of their variables.
            max_chars: Most characters of the result.
            caller: Identifies the caller, whose templates wait for each other.

        Raises:
            TemplateError: Inputs are missing, a template is not valid, or it needs too much time, memory or characters.
            Busy: No process became free in time.
        """
        if not templates:
            return []
        request = msgspec.json.encode({"templates": templates, "inputs": inputs, "max_chars": max_chars})
        share = self._shares.setdefault(caller, asyncio.Semaphore(WORKERS // 2))
        try:
            async with asyncio.timeout(self._max_wait) as waiting, share, self._free:
                waiting.reschedule(None)
                worker = self._idle.pop()
                try:
                    reply = self._decode(await worker.request(request))
                finally:
                    self._idle.append(worker)
        except TimeoutError as exc:
            raise Busy(f"no process for templates became free within {self._max_wait:g} seconds") from exc
        if reply.missing:
            raise missing_inputs(reply.missing)
        if reply.results is None:
            raise TemplateError(f"the template cannot be rendered: {reply.error}")
        return reply.results

    async def aclose(self) -> None:
        """Kill the processes. Calling it again has no effect."""
        for worker in self._workers:
            await worker.aclose()


class _Worker:
    """A process that renders templates."""

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        program = [sys.executable, "-m", "humanloop_async.server.templates.jinja_worker"]
        self._process = ChildProcess(program, child_environment())

    async def aclose(self) -> None:
        """Kill the process. Calling it again has no effect."""
        await self._process.aclose()

    async def request(self, request: bytes) -> bytes:
        try:
            return await self._process.request(request, self._max_seconds)
        except TimeoutError as exc:
            raise TemplateError(f"the template takes more than {self._max_seconds:g} seconds to render") from exc
        except ChildEnded as exc:
            raise TemplateError("the template needs too much memory") from exc
