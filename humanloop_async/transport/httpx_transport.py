"""The alternative transport: httpx, for trio and for use with an existing `httpx.AsyncClient`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import zlib
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio
import h11
import httpx

from ..config import check_count
from ..errors import ApiConnectionError, ApiException, ClientClosed, InvalidArgument, StreamClosed, is_retryable
from ..wire.requests import HttpRequest
from .allocator import raise_mmap_threshold
from .base import describe_exception
from .certificates import check_certificate_file, is_certificate_error
from .decompression import ENCODINGS, decompress
from .per_loop import Loop, PerLoop, keep_inherited
from .proxy import EnvironmentProxies, Proxy, parse_proxy
from .secrets import remove_tracebacks
from .wakeup import running_loop

_NO_TIMEOUTS = httpx.Timeout(None)

_CANCEL_GRACE = 0.5
"""How long an abandoned request may take to reach a cancellable step, in seconds."""

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


class HttpxTransport:
    """Sends requests with httpx.

    Without `client`, the transport creates one client for each event loop that uses it, on first use.

    Under asyncio a cancelled read loses no bytes. Under trio it closes the stream, because httpx closes a
    connection whose read is cancelled; the next read then raises `StreamClosed`.

    Args:
        client: A client to use instead; it is never closed, and the settings below do not apply to it.
        max_connections: Most connections open at once, 0 or None for no limit.
        proxy: Proxy URL.
        trust_env: Take the proxy from ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, and the
            certificate authorities from ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``. An argument `proxy` has precedence.

    Raises:
        InvalidArgument: A setting is invalid.
    """

    def __init__(
        self,
        client: httpx.AsyncClient | None = None,
        *,
        max_connections: int | None = 1000,
        proxy: str | None = None,
        trust_env: bool = False,
    ) -> None:
        raise_mmap_threshold()
        check_count("max_connections", max_connections or 0)
        self._user_client = client
        self._clients: PerLoop[httpx.AsyncClient, HttpxResponse] = PerLoop(self._create_client, _close_client)
        if client is not None:
            return
        if trust_env:
            check_certificate_file()
        connections: dict[str, Any] = {
            "limits": httpx.Limits(max_connections=max_connections or None, max_keepalive_connections=100),
            "verify": httpx.create_ssl_context(trust_env=trust_env),  # created here, because it reads files
            "trust_env": False,  # it would also read proxies, and match NO_PROXY differently
        }
        self._new_client: Callable[..., httpx.AsyncClient] = partial(
            httpx.AsyncClient,
            **connections,
            timeout=_NO_TIMEOUTS,
            proxy=_proxy(parse_proxy("proxy", proxy, _PROXY_SCHEMES)) if proxy is not None else None,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # stores no cookies
            event_hooks={"response": [_hide_location]},
        )
        if trust_env and proxy is None and (environment := EnvironmentProxies(_PROXY_SCHEMES)).by_scheme:
            create = self._new_client
            self._new_client = lambda: create(transport=_ByEnvironment(environment, connections))
        try:
            self._new_client()
        except (ValueError, ImportError) as exc:  # a proxy that needs another package
            raise InvalidArgument(f"proxy: {exc}") from exc

    def _create_client(self) -> httpx.AsyncClient:
        return self._new_client()

    async def send(self, request: HttpRequest, timeout: float | None) -> HttpxResponse:
        """Send a request; see `Transport.send`."""
        client = self._clients.client() if self._user_client is None else self._user_client
        handled = sys.exception()
        try:
            opened = await self._send(client, request, timeout)
        except BaseException as exc:
            remove_tracebacks(exc, handled, _redact)
            if (error := _translate(exc, request)) is None:
                raise
            raise error from exc
        self._clients.responses.add(opened)
        return opened

    async def _send(self, client: httpx.AsyncClient, request: HttpRequest, timeout: float | None) -> HttpxResponse:
        built = client.build_request(
            request.method,
            request.url,
            content=request.body,
            headers=_with_accepted_encodings(request.headers),
            timeout=_NO_TIMEOUTS,
        )
        progress = _Progress()
        if running_loop() is not None:
            built.extensions["trace"] = progress.trace
            response = await _send_in_task(client, built, timeout, progress)
        else:
            with anyio.fail_after(timeout):
                response = await client.send(built, stream=True, follow_redirects=False)
        return HttpxResponse(response, progress)

    async def aclose(self) -> None:
        """Close the clients that this transport created, and the responses that are still being read."""
        if self._user_client is not None:
            return
        self._clients.check_process()
        for response in list(self._clients.responses):
            await response.aclose(ClientClosed("the client was closed while the response was being read"))
        client = self._clients.pop_current()
        self.close()
        if client is not None:
            await client.aclose()

    def close(self) -> bool:
        """Do the same as `aclose` as far as possible without waiting. Return whether there was a client to close."""
        return self._clients.close()


def _close_client(loop: Loop, client: httpx.AsyncClient) -> None:
    if loop is not None and loop is running_loop():
        _run_in_background(client.aclose())
    elif loop is not None and loop.is_running():
        asyncio.run_coroutine_threadsafe(client.aclose(), loop)


async def _hide_location(response: httpx.Response) -> None:
    """Hide ``Location``, so that httpx neither builds nor rejects the redirected request."""
    if (location := response.headers.pop("Location", None)) is not None:
        response.extensions["location"] = location


async def _send_in_task(
    client: httpx.AsyncClient, request: httpx.Request, timeout: float | None, progress: _Progress
) -> httpx.Response:
    """Send in a separate task, cancelled once and only where httpx can clean up.

    With other cancellations, httpcore's pool would count the connection as in use forever.
    """
    task = asyncio.ensure_future(client.send(request, stream=True, follow_redirects=False))
    try:
        await asyncio.wait({task}, timeout=timeout)
    except BaseException:
        _run_in_background(_abandon(task, progress))
        raise
    if not task.done():
        _run_in_background(_abandon(task, progress))
        raise TimeoutError
    return task.result()


class HttpxResponse:
    """An httpx response; see `ResponseStream`."""

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
        if (location := response.extensions.get("location")) is not None:
            response.headers["Location"] = location
        self._response = response
        self._loop = running_loop()
        self._pid = os.getpid()
        self._progress = progress
        progress.can_be_cancelled = True  # also if a third-party transport traces nothing
        self._chunks = decompress(response.aiter_raw(), response.headers.get("Content-Encoding", ""))
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
        """Return the bytes that have arrived; see `ResponseStream.read`."""
        if self._failure is not None:
            raise self._failure
        if (loop := running_loop()) is not self._loop:
            raise ApiConnectionError(
                "the response belongs to another event loop; read it in the loop that sent the request"
            )
        if loop is None:
            return await self._read_in_caller(timeout)
        # httpx closes a connection whose read is cancelled. So a separate task reads; if the caller is cancelled, the
        # task continues, and the next call takes its result.
        fresh = self._pending is None
        task = self._pending = self._pending or asyncio.ensure_future(self._next())
        # A result that is available must not wait for the loop, where a cancellation may be pending, nor an error.
        if not task.done():
            if timeout is not None and timeout <= 0 and not fresh:
                raise TimeoutError
            await asyncio.wait({task}, timeout=timeout)
            if not task.done():
                raise TimeoutError
        self._pending = None
        if task.cancelled():
            raise self._failure or ApiConnectionError("the response was closed")
        return task.result()

    async def _read_in_caller(self, timeout: float | None) -> bytes:
        finished = False
        try:
            with anyio.fail_after(timeout):
                data = await self._next()
            finished = True
            return data
        finally:
            if not finished and self._failure is None:
                self._failure = StreamClosed("a cancelled read closed the connection; under trio, httpx does this")

    async def _next(self) -> bytes:
        try:
            while (data := await anext(self._chunks, None)) == b"":
                pass
            return data or b""
        except (httpx.HTTPError, httpx.StreamError, OSError, zlib.error) as exc:
            self._failure = self._failure or ApiConnectionError(f"the connection broke: {describe_exception(exc)}")
            raise self._failure from exc

    def close(self) -> None:
        """Close the connection; see `ResponseStream.close`."""
        if self._response.is_closed:
            return
        if self._failure is None:
            self._failure = ApiConnectionError("the response was closed")
        if self._pid != os.getpid():
            keep_inherited(self._response)
            return
        stream = self._response.extensions.get("network_stream")
        if stream is not None and self._response.http_version.startswith("HTTP/1"):  # HTTP/2 shares its socket
            # httpx cannot close without waiting; shutting down the socket tells the server at once. uvloop's socket
            # object has no working `shutdown`, so this duplicates the socket.
            with (
                contextlib.suppress(OSError),
                socket.fromfd(
                    stream.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
                ) as duplicate,
            ):
                duplicate.shutdown(socket.SHUT_RDWR)
        if self._loop is not None:
            if self._loop is running_loop():
                self._close_in_background()
            elif self._loop.is_running():
                self._loop.call_soon_threadsafe(self._close_in_background)
        elif (trio := sys.modules.get("trio")) is not None:
            with contextlib.suppress(RuntimeError):  # called by a finalizer after trio has ended
                trio.lowlevel.spawn_system_task(self.aclose)

    async def aclose(self, reason: ApiException | None = None) -> None:
        """Close the connection; see `ResponseStream.aclose`.

        Args:
            reason: The exception for a `read` that is waiting, and for later ones.
        """
        if self._failure is None:
            self._failure = reason or ApiConnectionError("the response was closed")
        if self._pid != os.getpid() or self._loop is not running_loop():
            self.close()
        elif self._loop is not None:
            await asyncio.shield(self._close_in_background())
        else:
            with anyio.CancelScope(shield=True):
                await self._response.aclose()

    def _close_in_background(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = _run_in_background(self._close_all())
        return self._closing

    async def _close_all(self) -> None:
        if (pending := self._pending) is not None:
            self._pending = None
            await self._progress.cancel(pending)
            if not pending.cancelled():
                pending.exception()  # marks it as retrieved; no reader is left to raise it to
        await self._response.aclose()


_background: set[asyncio.Task[None]] = set()
"""Tasks without a waiter. The event loop holds only weak references to tasks, so this keeps them alive."""


def _run_in_background(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    task = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


class _Progress:
    """How far httpcore is with a request, as its trace extension reports.

    httpcore's pool leaks a connection, neither idle nor closed, if a request is cancelled between two steps: after the
    pool has chosen the connection and before it connects, or after it has connected and before it sends. The same
    happens if a request is cancelled while it cleans up.
    """

    def __init__(self) -> None:
        self.can_be_cancelled: bool = False
        self._cancel_at_next_step = False

    async def trace(self, event: str, info: object) -> None:
        step, _, state = event.rpartition(".")
        connecting = step.startswith("connection.")
        # A proxy tunnel does not handle cancellation until it is established.
        fragile = step.startswith(("proxy.", "socks.")) or step.endswith("response_closed")
        self.can_be_cancelled = not fragile and (state == "started" or (state == "complete" and not connecting))
        if self._cancel_at_next_step and self.can_be_cancelled:
            self._cancel_at_next_step = False  # the clean-up is traced too
            raise asyncio.CancelledError

    async def cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel the task whose progress this is, in a step that handles it, and wait until it has ended."""
        if not self.can_be_cancelled:
            self._cancel_at_next_step = True
            await asyncio.wait({task}, timeout=_CANCEL_GRACE)
            self._cancel_at_next_step = False
        task.cancel()
        await asyncio.wait({task})


async def _abandon(sending: asyncio.Task[httpx.Response], progress: _Progress) -> None:
    """End a request that has no caller any more, and close its response if there is one."""
    await progress.cancel(sending)
    if not sending.cancelled() and sending.exception() is None:
        await sending.result().aclose()


def _proxy(proxy: Proxy) -> httpx.Proxy:
    return httpx.Proxy(proxy.url, auth=proxy.credentials)


class _ByEnvironment(httpx.AsyncBaseTransport):
    """Sends each request directly or through the proxy that the environment names for its URL."""

    def __init__(self, environment: EnvironmentProxies, connections: dict[str, Any]) -> None:
        self._environment = environment
        proxies = {None, *environment.by_scheme.values()}
        self._transports = {
            proxy: httpx.AsyncHTTPTransport(proxy=None if proxy is None else _proxy(proxy), **connections)
            for proxy in proxies
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        proxy = self._environment.find(url.scheme, url.host, url.port or {"https": 443}.get(url.scheme, 80))
        return await self._transports[proxy].handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()


def _translate(exc: BaseException, request: HttpRequest) -> ApiException | None:
    """Return this package's error for one of httpx; None if it is to be raised as it is."""
    if isinstance(exc, httpx.HTTPError | OSError):
        if isinstance(exc, TimeoutError):
            return None
        error = ApiConnectionError(f"{request.method} {request.url}: {describe_exception(exc)}")
        error.retryable = _may_retry(exc)
        if is_certificate_error(exc):
            error.retryable = False
        return error
    if isinstance(exc, ApiException):
        return None
    if isinstance(exc, httpx.InvalidURL | ValueError | TypeError):
        return InvalidArgument(f"invalid request to {request.url}: {exc}")
    if isinstance(exc, RuntimeError):  # the caller closed the client
        return ApiConnectionError(f"{request.method} {request.url}: {describe_exception(exc)}")
    return None


def _with_accepted_encodings(headers: Mapping[str, str]) -> httpx.Headers:
    complete = httpx.Headers(headers)
    complete.setdefault("Accept-Encoding", ENCODINGS)
    return complete


def _redact(exc: BaseException) -> None:
    if isinstance(exc, httpx.RequestError):
        with contextlib.suppress(RuntimeError):  # it has no request
            exc.request = httpx.Request(exc.request.method, exc.request.url)


def _may_retry(exc: Exception) -> bool:
    """Return whether a retry can help: not after a proxy's rejection, nor after a response that is not HTTP."""
    if isinstance(exc, httpx.ProxyError) and (status := str(exc)[:3]).isdigit():
        return is_retryable(int(status))
    return exc.__cause__ is None or not any(isinstance(arg, h11.RemoteProtocolError) for arg in exc.__cause__.args)
