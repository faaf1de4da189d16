"""A transport that breaks the calls of another one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from multidict import CIMultiDict

from ..errors import ApiConnectionError
from ..transport.base import ResponseStream, Transport, WrappedResponse
from ..wire.requests import HttpRequest
from .faults import Ending, ErrorStatus, Fault, Faults, Injector, Repeat, Stall, Step, error_body
from .waiting import ClosableWait


class FaultTransport:
    """Sends requests through another transport, and breaks calls as planned; a `Transport`.

    The other transport may be real or a `ReplayTransport`. A client cannot tell the faults from real ones.

    Args:
        inner: The transport to send with. `aclose` closes it.
        faults: The plan, or one fault that breaks every call.
    """

    def __init__(self, inner: Transport, faults: Faults | Fault) -> None:
        self._inner = inner
        self.faults: Faults = faults if isinstance(faults, Faults) else Faults.always(faults)

    async def send(self, request: HttpRequest, timeout: float | None) -> ResponseStream:
        """Send a request and break its response, if the plan has a fault for it; see `Transport.send`."""
        fault = self.faults.take()
        if fault is None:
            return await self._inner.send(request, timeout)
        if isinstance(fault, ErrorStatus):
            return ErrorResponse(fault)
        deadline = None if timeout is None else time.monotonic() + timeout
        if isinstance(fault, Stall) and fault.headers:
            due = float("inf") if fault.seconds is None else time.monotonic() + fault.seconds
            await ClosableWait().until(due, timeout)
        response = await self._inner.send(request, _remaining(deadline))
        is_stream = response.headers.get("Content-Type", "").startswith("text/event-stream")
        if (isinstance(fault, Stall) and fault.headers) or not Injector.applies(fault, is_stream=is_stream):
            return response
        return FaultyResponse(response, Injector(fault, is_stream=is_stream))

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._inner.aclose()


class FaultyResponse(WrappedResponse):
    """A response that is being broken; see `ResponseStream`."""

    def __init__(self, inner: ResponseStream, injector: Injector) -> None:
        super().__init__(inner)
        self._injector = injector
        self._steps: deque[Step] = deque(injector.begin())
        self._due: float | None = None  # of the pause that is the next step
        self._ended = False
        self._wait = ClosableWait()

    async def read(self, timeout: float | None) -> bytes:
        """Return bytes as they arrive, broken; see `ResponseStream.read`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            self._wait.check()
            if not self._steps:
                data = await self._inner.read(_remaining(deadline))
                self._steps += self._injector.feed(data) if data else self._injector.end()
                continue
            step = self._steps[0]
            if isinstance(step, Ending):
                await self._end(step, _remaining(deadline))
            elif isinstance(step, bytes):
                self._steps.popleft()
                return step
            elif isinstance(step, Repeat):
                if step.times == 0:
                    self._steps.popleft()
                    continue
                await self._pause(step.interval, _remaining(deadline))
                if step.times is not None:
                    self._steps[0] = replace(step, times=step.times - 1)
                return step.data
            else:
                await self._pause(step, _remaining(deadline))
                self._steps.popleft()
        return b""

    async def _pause(self, seconds: float, timeout: float | None) -> None:
        """Wait; a wait that is cancelled continues with the next read."""
        if self._due is None:
            self._due = time.monotonic() + seconds
        await self._wait.until(self._due, timeout)
        self._due = None

    async def _end(self, ending: Ending, timeout: float | None) -> None:
        if ending is Ending.SILENCE:
            await self._wait.until(float("inf"), timeout)
        self._inner.close()
        if ending is Ending.CLEAN:
            self._ended = True
            return
        what = "reset" if ending is Ending.RESET else "closed"
        failure = ApiConnectionError(f"the connection broke: it was {what} by an injected fault")
        failure.__cause__ = ConnectionResetError() if ending is Ending.RESET else EOFError()
        self._wait.failure = failure
        raise failure

    def close(self) -> None:
        """Close the connection; see `ResponseStream.close`."""
        self._wait.close()
        self._inner.close()

    async def aclose(self) -> None:
        """Close the connection; see `ResponseStream.aclose`."""
        self._wait.close()
        await self._inner.aclose()


class ErrorResponse:
    """The response of `ErrorStatus`; see `ResponseStream`."""

    def __init__(self, fault: ErrorStatus) -> None:
        self.status: int = fault.status
        self.reason: str = ""
        self._body = error_body(fault.status, fault.message)
        self._headers = {"Content-Type": "application/json"}
        if fault.retry_after is not None:
            after = fault.retry_after
            self._headers["Retry-After"] = after if isinstance(after, str) else f"{after:g}"

    @property
    def headers(self) -> Mapping[str, str]:
        return CIMultiDict(self._headers)

    async def read(self, timeout: float | None) -> bytes:
        """Return the body, and then b""."""
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """Do nothing; there is no connection."""

    async def aclose(self) -> None:
        """Do nothing; there is no connection."""


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
