"""The alternative transport: httpx. For an `httpx.AsyncClient` of your own, and for trio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import warnings
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from weakref import WeakSet

import anyio
import h11
import httpx

from ..config import check_count
from ..errors import ApiConnectionError, ApiException, ClientClosed, InvalidArgument, StreamClosed, is_retryable
from ..wire.requests import HttpRequest
from . import allocator
from .arrival import running_loop
from .base import words_of
from .proxy import split_proxy

_NO_CLOCKS = httpx.Timeout(None)

_NEXT_STEP = 0.5
"""Seconds that a request which was given up has to reach a step in which it can be cancelled."""

_PROXIES = ("http", "https", "socks5", "socks5h")


class HttpxTransport:
    """Sends requests with httpx.

    A client is made for each event loop that uses the transport, on first use, with the settings below; a client of
    your own is used as it is and never closed.

    Under asyncio a cancelled read loses nothing. Under trio it closes the stream, because httpx closes a
    connection whose read is cancelled; the next read then raises `StreamClosed`.

    Args:
        client: A client of your own.
        max_connections: Connections open at once, 0 or None for no limit.
        proxy: Proxy URL.
        trust_env: Take the proxy and the CA from the environment.

    Raises:
        InvalidArgument: A setting cannot be used.
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
        check_count("max_connections", max_connections or 0)
        self._own_client = client
        self._clients: dict[asyncio.AbstractEventLoop | None, httpx.AsyncClient] = {}  # None: trio's
        self._responses: WeakSet[HttpxResponse] = WeakSet()  # open ones, or not collected yet
        self._pid = os.getpid()
        self._closed = False
        if client is not None:
            return
        self._make_client = partial(
            httpx.AsyncClient,
            limits=httpx.Limits(max_connections=max_connections or None, max_keepalive_connections=100),
            timeout=_NO_CLOCKS,
            proxy=_proxy(proxy) if proxy is not None else None,
            trust_env=trust_env,
            verify=httpx.create_ssl_context(trust_env=trust_env),  # reads files: not on the loop
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # keeps none
            event_hooks={"response": [_hide_location]},
        )
        try:
            self._make_client()
        except (ValueError, ImportError) as exc:  # a proxy that needs another package, or a bad one in the environment
            raise InvalidArgument(f"proxy: {exc}") from exc

    def _client(self) -> httpx.AsyncClient:
        if self._own_client is not None:
            return self._own_client
        if self._closed:
            raise ClientClosed("the transport is closed; make a new client")
        self._leave_to_other_process()
        loop = running_loop()
        client = self._clients.get(loop)
        if client is None:
            for other in list(self._clients):
                if other is not None and other.is_closed():  # it took its connections along
                    self._forget(other)
            client = self._clients[loop] = self._make_client()
        return client

    def _leave_to_other_process(self) -> None:
        """After a fork, the parent's connections are the parent's: a request here would be written on its socket."""
        if self._pid != os.getpid():
            _of_other_processes.append(self._clients)
            self._clients, self._responses, self._pid = {}, WeakSet(), os.getpid()

    def _forget(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Drop the client of a loop on which nothing can wait any more."""
        with warnings.catch_warnings(module=warnings):  # at exit it cannot be imported any more
            # Its sockets are closed by their finalizers, which warn about it.
            warnings.simplefilter("ignore", ResourceWarning)
            self._clients.pop(loop, None)

    async def send(self, request: HttpRequest, timeout: float | None) -> HttpxResponse:
        """See `Transport.send`."""
        client = self._client()
        try:
            built = client.build_request(
                request.method,
                request.url,
                content=request.body,
                headers=dict(request.headers),
                timeout=_NO_CLOCKS,
            )
            progress = _Progress()
            if running_loop() is not None:
                built.extensions["trace"] = progress.trace
                response = await _send_apart(client, built, timeout, progress)
            else:
                with anyio.fail_after(timeout):
                    response = await client.send(built, stream=True, follow_redirects=False)
        except (httpx.HTTPError, OSError) as exc:
            if isinstance(exc, TimeoutError):
                raise
            failed = ApiConnectionError(f"{request.method} {request.url}: {words_of(exc)}")
            failed.retryable = _may_pass(exc)
            raise failed from exc
        except (httpx.InvalidURL, ValueError, TypeError) as exc:
            raise InvalidArgument(f"the request cannot be sent: {exc}") from exc
        except RuntimeError as exc:  # the client was closed by its owner
            raise ApiConnectionError(f"{request.method} {request.url}: {words_of(exc)}") from exc
        made = HttpxResponse(response, progress)
        self._responses.add(made)
        return made

    async def aclose(self) -> None:
        """Close the clients that this transport made, and the responses that are still being read."""
        if self._own_client is not None:
            return
        self._leave_to_other_process()
        for response in list(self._responses):
            await response.aclose(ClientClosed("the client was closed while the answer was being read"))
        client = self._clients.pop(running_loop(), None)
        self.close()
        if client is not None:
            await client.aclose()

    def close(self) -> bool:
        """`aclose` as far as that goes without waiting. False when there was nothing to close."""
        self._closed = True
        self._leave_to_other_process()
        used = bool(self._clients)
        for loop, client in list(self._clients.items()):
            if loop is not None and loop is running_loop():
                _go_on_alone(client.aclose())
            elif loop is not None and loop.is_running():
                asyncio.run_coroutine_threadsafe(client.aclose(), loop)
            del client
            self._forget(loop)
        return used


_of_other_processes: list[object] = []
"""Clients of the process that this one was forked from. Kept, because even their finalizers would close them."""


async def _hide_location(response: httpx.Response) -> None:
    """Keep httpx from making the request to which a redirect leads, and from failing where that cannot be made."""
    if (there := response.headers.pop("Location", None)) is not None:
        response.extensions["location"] = there


async def _send_apart(
    client: httpx.AsyncClient, request: httpx.Request, timeout: float | None, progress: _Progress
) -> httpx.Response:
    """Send from a task of its own, which is cancelled once, and only where httpx can clean up after that. Else
    a connection would count as in use for ever."""
    task = asyncio.ensure_future(client.send(request, stream=True, follow_redirects=False))
    try:
        await asyncio.wait({task}, timeout=timeout)
    except BaseException:
        _go_on_alone(_give_up(task, progress))
        raise
    if not task.done():
        _go_on_alone(_give_up(task, progress))
        raise TimeoutError
    return task.result()


class HttpxResponse:
    """See `ResponseStream`."""

    __slots__ = (
        "__weakref__",
        "_chunks",
        "_closing",
        "_failure",
        "_loop",
        "_pending",
        "_pid",
        "_progress",
        "_response",
    )

    def __init__(self, response: httpx.Response, progress: _Progress) -> None:
        if (there := response.extensions.get("location")) is not None:
            response.headers["Location"] = there
        self._response = response
        self._loop = running_loop()
        self._pid = os.getpid()
        self._progress = progress
        progress.can_be_cancelled = True  # also where no trace says so: transports of other makers have none
        # What is compressed twice, which nobody does with good intent, is not unpacked: 2 KB can be 1 GB.
        twice = "," in response.headers.get("Content-Encoding", "")
        self._chunks: AsyncIterator[bytes] = response.aiter_raw() if twice else response.aiter_bytes()
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
        if (loop := running_loop()) is not self._loop:
            raise ApiConnectionError("the answer came in another event loop, and its connection ended there")
        if loop is None:
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
                self._failure = StreamClosed("a cancelled read closed the connection, as httpx does under trio")

    async def _next(self) -> bytes:
        try:
            while (data := await anext(self._chunks, None)) == b"":
                pass
            return data or b""
        except (httpx.HTTPError, httpx.StreamError, OSError) as exc:
            self._failure = self._failure or ApiConnectionError(f"the connection broke: {words_of(exc)}")
            raise self._failure from exc

    def close(self) -> None:
        """See `ResponseStream.close`."""
        if self._response.is_closed:
            return
        if self._failure is None:
            self._failure = ApiConnectionError("the response was closed")
        if self._pid != os.getpid():
            _of_other_processes.append(self._response)
            return
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
        if self._loop is not None:
            if self._loop is running_loop():
                self._close_apart()
            elif self._loop.is_running():
                self._loop.call_soon_threadsafe(self._close_apart)
        elif (trio := sys.modules.get("trio")) is not None:
            with contextlib.suppress(RuntimeError):  # not under trio either: a finalizer, nothing runs any more
                trio.lowlevel.spawn_system_task(self.aclose)

    async def aclose(self, reason: ApiException | None = None) -> None:
        """See `ResponseStream.aclose`. Readers get `reason`."""
        if self._failure is None:
            self._failure = reason or ApiConnectionError("the response was closed")
        if self._pid != os.getpid() or self._loop is not running_loop():
            self.close()
        elif self._loop is not None:
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
        self.can_be_cancelled: bool = False
        self.given_up: bool = False

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


def _proxy(url: str) -> httpx.Proxy:
    clean, user = split_proxy(url, _PROXIES)
    return httpx.Proxy(clean, auth=user)


def _may_pass(exc: Exception) -> bool:
    """Whether the same request may fare better later: not where a proxy refused it, or the answer was not HTTP."""
    if isinstance(exc, httpx.ProxyError) and (status := str(exc)[:3]).isdigit():
        return is_retryable(int(status))
    return exc.__cause__ is None or not any(isinstance(arg, h11.RemoteProtocolError) for arg in exc.__cause__.args)
