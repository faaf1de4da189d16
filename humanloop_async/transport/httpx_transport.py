"""The alternative transport: httpx. For an `httpx.AsyncClient` of your own, and for trio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import partial
from typing import Any
from weakref import WeakSet

import anyio
import httpx

from ..errors import ApiConnectionError, ApiException, ClientClosed, InvalidArgument
from ..wire.requests import HttpRequest
from . import allocator
from .arrival import running_loop

_NO_CLOCKS = httpx.Timeout(None)

_NEXT_STEP = 0.5
"""Seconds that a request which was given up has to reach a step in which it can be cancelled."""


class HttpxTransport:
    """Sends requests with httpx.

    Under asyncio a cancelled read loses nothing. Under trio it closes the stream, because httpx closes a
    connection whose read is cancelled; the next read then raises `ApiConnectionError`.

    Args:
        client: A client of your own, used as it is and never closed; otherwise one is made from `settings`.
        max_connections: Connections open at once, 0 or None for no limit, for a client that this transport makes.
        proxy: Proxy URL, likewise.
        trust_env: Take the proxy and the CA from the environment, likewise.
    """

    def __init__(
        self,
        client: httpx.AsyncClient | None = None,
        *,
        max_connections: int | None = 1000,
        proxy: str | None = None,
        trust_env: bool = False,
    ) -> None:
        allocator.settle()
        self._owns_client = client is None
        self._used = False
        self._responses: WeakSet[HttpxResponse] = WeakSet()  # open ones, or not collected yet
        self._make_client = partial(
            httpx.AsyncClient,
            limits=httpx.Limits(max_connections=max_connections or None, max_keepalive_connections=100),
            timeout=_NO_CLOCKS,
            proxy=proxy,
            trust_env=trust_env,
        )
        self._client = client or self._make_client()
        self._pid = os.getpid()

    def _leave_to_other_process(self) -> None:
        """After a fork, the parent's connections are the parent's, idle ones too."""
        if self._owns_client and self._pid != os.getpid():
            _of_other_processes.append(self._client)
            self._client, self._responses, self._pid = self._make_client(), WeakSet(), os.getpid()
            self._used = False

    async def send(self, request: HttpRequest, timeout: float | None) -> HttpxResponse:
        """See `Transport.send`."""
        self._leave_to_other_process()
        self._used = True
        try:
            built = self._client.build_request(
                request.method,
                request.url,
                content=request.body,
                headers=dict(request.headers),
                timeout=_NO_CLOCKS,
            )
            progress = _Progress()
            if running_loop() is not None:
                built.extensions["trace"] = progress.trace
                response = await self._send_apart(built, timeout, progress)
            else:
                with anyio.fail_after(timeout):
                    response = await self._client.send(built, stream=True, follow_redirects=False)
        except (httpx.HTTPError, OSError) as exc:
            if isinstance(exc, TimeoutError):
                raise
            raise ApiConnectionError(f"{request.method} {request.url}: {_words(exc)}") from exc
        except (httpx.InvalidURL, ValueError, TypeError) as exc:
            raise InvalidArgument(f"the request cannot be sent: {exc}") from exc
        except RuntimeError as exc:  # the client was closed by its owner
            raise ApiConnectionError(f"{request.method} {request.url}: {_words(exc)}") from exc
        made = HttpxResponse(response, progress)
        self._responses.add(made)
        return made

    async def _send_apart(self, request: httpx.Request, timeout: float | None, progress: _Progress) -> httpx.Response:
        """Send from a task of its own, which is cancelled once, and only where httpx can clean up after that. Else
        a connection would count as in use for ever."""
        task = asyncio.ensure_future(self._client.send(request, stream=True, follow_redirects=False))
        try:
            await asyncio.wait({task}, timeout=timeout)
        except BaseException:
            _go_on_alone(_give_up(task, progress))
            raise
        if not task.done():
            _go_on_alone(_give_up(task, progress))
            raise TimeoutError
        return task.result()

    async def aclose(self) -> None:
        """Close the client, and the responses that are still being read, unless it is your own."""
        if self._owns_client:
            self._leave_to_other_process()
            for response in list(self._responses):
                await response.aclose(ClientClosed("the client was closed while the answer was being read"))
            await self._client.aclose()

    def close(self) -> bool:
        """`aclose` as far as that goes without waiting. False when there was nothing to close."""
        self._leave_to_other_process()
        if not self._used or self._client.is_closed:
            return False
        if running_loop() is not None:
            _go_on_alone(self._client.aclose())
        return True


_of_other_processes: list[httpx.AsyncClient] = []
"""Clients of the process that this one was forked from. Kept, because even their finalizers would close sockets."""


class HttpxResponse:
    """See `ResponseStream`."""

    __slots__ = ("__weakref__", "_chunks", "_closing", "_failure", "_pending", "_progress", "_response")

    def __init__(self, response: httpx.Response, progress: _Progress) -> None:
        self._response = response
        self._progress = progress
        progress.can_be_cancelled = True  # also where no trace says so: transports of other makers have none
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._pending: asyncio.Task[bytes] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def reason(self) -> str:
        return self._response.reason_phrase

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def read(self, timeout: float | None) -> bytes:
        """See `ResponseStream.read`."""
        if self._failure is not None:
            raise self._failure
        if running_loop() is None:
            return await self._read_here(timeout)
        # httpx closes a connection whose read is cancelled. So the read is a task of its own, which outlives
        # a cancelled caller and serves the next one.
        task = self._pending = self._pending or asyncio.ensure_future(self._next())
        if not task.done():  # what is there comes without a round through the loop, where a cancellation may wait
            await asyncio.wait({task}, timeout=timeout)
            if not task.done():
                raise TimeoutError
        self._pending = None
        if task.cancelled():
            raise self._failure or ApiConnectionError("the response was closed")
        return task.result()

    async def _read_here(self, timeout: float | None) -> bytes:
        finished = False
        try:
            with anyio.fail_after(timeout):
                data = await self._next()
            finished = True
            return data
        finally:
            if not finished and self._failure is None:
                self._failure = ApiConnectionError("a cancelled or timed out read closed the connection")

    async def _next(self) -> bytes:
        try:
            while not (data := await anext(self._chunks, b"")):
                if self._response.is_closed:
                    break
            return data
        except (httpx.HTTPError, httpx.StreamError, OSError) as exc:
            self._failure = self._failure or ApiConnectionError(f"the connection broke: {_words(exc)}")
            raise self._failure from exc

    def close(self) -> None:
        """See `ResponseStream.close`."""
        if self._response.is_closed:
            return
        if self._failure is None:
            self._failure = ApiConnectionError("the response was closed")
        stream = self._response.extensions.get("network_stream")
        if stream is not None and self._response.http_version.startswith("HTTP/1"):  # HTTP/2 shares its socket
            # httpx cannot close without waiting; shutting the socket down tells the server at once. The one that
            # uvloop shows cannot do that, a duplicate of it can.
            with (
                contextlib.suppress(OSError),
                socket.fromfd(
                    stream.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
                ) as duplicate,
            ):
                duplicate.shutdown(socket.SHUT_RDWR)
        if running_loop() is not None:
            self._close_apart()
        elif (trio := sys.modules.get("trio")) is not None:
            with contextlib.suppress(RuntimeError):  # not under trio either: a finalizer, nothing runs any more
                trio.lowlevel.spawn_system_task(self.aclose)

    async def aclose(self, reason: ApiException | None = None) -> None:
        """See `ResponseStream.aclose`. Readers get `reason`."""
        if self._failure is None:
            self._failure = reason or ApiConnectionError("the response was closed")
        if running_loop() is not None:
            await asyncio.shield(self._close_apart())
        else:
            with anyio.CancelScope(shield=True):
                await self._response.aclose()

    def _close_apart(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = _go_on_alone(self._close_all())
        return self._closing

    async def _close_all(self) -> None:
        if (pending := self._pending) is not None:
            self._pending = None
            await self._progress.cancel(pending)
            if not pending.cancelled():
                pending.exception()  # a failure that nobody waits for any more
        await self._response.aclose()


_alone: set[asyncio.Task[None]] = set()
"""Tasks that nobody waits for; a loop alone would not keep them alive."""


def _go_on_alone(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    task = asyncio.ensure_future(work)
    _alone.add(task)
    task.add_done_callback(_alone.discard)
    return task


class _Progress:
    """How far httpcore is with a request, as its trace extension tells.

    A request that is cancelled between two steps, when the pool has chosen its connection and that is not yet
    connecting, or has connected and is not yet sending, leaves one in the pool that is neither idle nor closed. So
    does one that is cancelled while it cleans up.
    """

    def __init__(self) -> None:
        self.can_be_cancelled = False
        self.given_up = False

    async def trace(self, event: str, info: object) -> None:
        step, _, state = event.rpartition(".")
        connecting = step.startswith("connection.")
        # A proxy's tunnel does not know of a cancellation until it stands.
        careful = step.startswith(("proxy.", "socks.")) or step.endswith("response_closed")
        self.can_be_cancelled = not careful and (state == "started" or (state == "complete" and not connecting))
        if self.given_up and self.can_be_cancelled:
            self.given_up = False  # what cleans up is traced too
            raise asyncio.CancelledError

    async def cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel what makes this progress, within a step that takes it well, and wait for its end."""
        if not self.can_be_cancelled:
            self.given_up = True
            await asyncio.wait({task}, timeout=_NEXT_STEP)
            self.given_up = False
        task.cancel()
        await asyncio.wait({task})


async def _give_up(sending: asyncio.Task[httpx.Response], progress: _Progress) -> None:
    """End a request whose caller is gone; an answer that came all the same is closed."""
    await progress.cancel(sending)
    if not sending.cancelled() and sending.exception() is None:
        await sending.result().aclose()


def _words(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
