"""The default transport: aiohttp, one session per event loop."""

from __future__ import annotations

import asyncio
import io
import os
import ssl as ssl_module
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, cast

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL

from ..config import check_count
from ..errors import ApiConnectionError, ApiException, ClientClosed, InvalidArgument, is_retryable
from ..wire.requests import HttpRequest
from .aiohttp_fast_path import FastPathProtocol, install_fast_path
from .allocator import raise_mmap_threshold
from .base import describe_exception
from .certificates import check_certificate_file, is_certificate_error
from .per_loop import Loop, PerLoop, keep_inherited
from .proxy import EnvironmentProxies, parse_proxy
from .secrets import remove_tracebacks
from .wakeup import DirectWaiter, running_loop

_header_name = lru_cache(256)(istr)
"""Header names in the form that aiohttp sends, created once instead of for each request."""

_NO_TIMEOUTS = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)

_PROXY_SCHEMES = ("http", "https")

_MAX_HEADER = 64 * 1024
"""Bytes of one header, and of the status line. aiohttp's default of 8 KiB is less than some gateways send."""

_MAX_RAW_BODY = 1 << 20
"""Bytes up to which aiohttp sends a body in one piece. It warns about a larger one unless that is a file."""


class AiohttpTransport:
    """Sends requests with aiohttp.

    Without `session`, the transport opens one session for each event loop that uses it, on first use.

    Args:
        session: An open session to use instead; it is never closed, and the settings below do not apply to it.
        max_connections: Most connections open at once, 0 for no limit. A stream holds one until it ends.
        connect_timeout: Longest wait for one TCP and TLS connection, in seconds.
        ssl: An SSL context, for a private CA or a client certificate; False disables verification.
        proxy: Proxy URL.
        trust_env: Take the proxy from ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``. An argument
            `proxy` has precedence.

    Raises:
        InvalidArgument: A setting is invalid.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        max_connections: int = 1000,
        connect_timeout: float = 30.0,
        ssl: ssl_module.SSLContext | bool = True,
        proxy: str | None = None,
        trust_env: bool = False,
    ) -> None:
        raise_mmap_threshold()
        check_count("max_connections", max_connections)
        _check_ssl(ssl)
        self._user_session = session
        self._max_connections = max_connections
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
        self._ssl = ssl
        self._proxy = None if proxy is None else parse_proxy("proxy", proxy, _PROXY_SCHEMES)
        self._environment: EnvironmentProxies | None = None
        if trust_env and session is None:
            self._environment = EnvironmentProxies(_PROXY_SCHEMES)
            check_certificate_file()
        self._sessions: PerLoop[aiohttp.ClientSession, AiohttpResponse] = PerLoop(self._create_session, _close_session)

    def _create_session(self) -> aiohttp.ClientSession:
        connector = self._create_connector(limit=self._max_connections, ssl=self._ssl)
        if hasattr(connector, "_factory"):  # private, but the only way in; without it, reads are merely slower
            connector._factory = cast("Any", partial(FastPathProtocol, loop=asyncio.get_running_loop()))
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
        )

    def _create_connector(self, **options: Any) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(**options)

    async def send(self, request: HttpRequest, timeout: float | None) -> AiohttpResponse:
        """Send a request; see `Transport.send`."""
        if running_loop() is None:
            raise InvalidArgument("aiohttp needs asyncio; under trio, use transport='httpx'")
        session = self._sessions.client() if self._user_session is None else self._user_session
        handled = sys.exception()
        try:
            async with asyncio.timeout(timeout):
                response = await self._request(session, request)
        except BaseException as exc:
            remove_tracebacks(exc, handled, _redact)
            if (error := _translate(exc, request)) is None:
                raise
            raise error from exc
        if self._user_session is None and hasattr(response, "_raw_headers"):
            response._raw_headers = ()  # a second copy of the headers: half a KB for each open stream
        opened = AiohttpResponse(response)
        self._sessions.responses.add(opened)
        return opened

    async def _request(self, session: aiohttp.ClientSession, request: HttpRequest) -> aiohttp.ClientResponse:
        body, url = request.body, URL(request.url)
        headers: dict[str, str] = {_header_name(name): value for name, value in request.headers.items()}
        proxy = self._proxy
        if proxy is None and self._environment is not None:
            proxy = self._environment.find(url.scheme, url.host or "", url.port or 0)
        proxy_headers: dict[str, str] = {}
        if proxy is not None and proxy.credentials is not None:
            proxy_headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(*proxy.credentials)
            if url.scheme == "http":  # over TLS only the proxy may see it
                headers |= proxy_headers
        return await session.request(
            request.method,
            url,
            data=body if body is None or len(body) <= _MAX_RAW_BODY else io.BytesIO(body),
            headers=headers,
            proxy=None if proxy is None else proxy.url,
            proxy_headers=proxy_headers,
            allow_redirects=False,
            raise_for_status=False,
            timeout=_NO_TIMEOUTS if self._user_session is not None else self._timeout,
        )

    async def aclose(self) -> None:
        """Close the sessions that this transport opened, and the responses that are still being read."""
        self._sessions.check_process()
        session = self._sessions.pop_current()
        self.close()
        if session is not None:
            await session.close()

    def close(self) -> bool:
        """Do the same as `aclose` without waiting. Return whether there was a session to close."""
        self._sessions.closed = True
        self._sessions.check_process()
        for response in list(self._sessions.responses):
            response.close(ClientClosed("the client was closed while the response was being read"))
        return self._sessions.close()


class AiohttpResponse:
    """An aiohttp response; see `ResponseStream`.

    Attributes:
        on_data: Callback for chunks that arrive while `read` is waiting with an empty buffer. It runs in the protocol
            callback, which saves waking the reader's task for every token of a stream that is forwarded. It returns
            False to leave the bytes to `read`; `read` raises its exceptions.
    """

    __slots__ = (
        "__weakref__",
        "_callback_error",
        "_content",
        "_deadline",
        "_failure",
        "_loop",
        "_pid",
        "_protocol",
        "_response",
        "_timer",
        "_timer_at",
        "_waiter",
        "on_data",
    )

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self._loop = asyncio.get_running_loop()
        protocol = response.connection.protocol if response.connection is not None else None
        self._protocol = protocol if isinstance(protocol, FastPathProtocol) else None
        if self._protocol is not None:
            install_fast_path(self._content, self._protocol, encoded="Content-Encoding" in response.headers)
        self._waiter: DirectWaiter | None = None
        self._deadline = self._timer_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        self._pid = os.getpid()
        self._callback_error: Exception | None = None
        self.on_data: Callable[[bytes], bool] | None = None

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def reason(self) -> str:
        return _text(self._response.reason or "")

    @property
    def headers(self) -> Mapping[str, str]:
        # A copy, because errors carry the headers, and aiohttp's mapping cannot be pickled.
        return CIMultiDict((name, _text(value)) for name, value in self._response.headers.items())

    async def read(self, timeout: float | None) -> bytes:
        """Return the bytes that have arrived; see `ResponseStream.read`."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        content, protocol = self._content, self._protocol
        try:
            while not (data := content.read_nowait()):
                if protocol is None or protocol.body is not content:  # else the body has not ended
                    if content.at_eof():
                        self._stop_timer()
                        return b""
                    if protocol is None:
                        if timeout is not None and timeout <= 0:
                            raise TimeoutError  # as below
                        async with asyncio.timeout(timeout):
                            return await content.readany()
                    if not protocol.connected:  # after a malformed chunk, aiohttp fails the connection but not the body
                        failure = protocol.exception() or EOFError("the body has no end")
                        raise aiohttp.ClientPayloadError(describe_exception(failure))
                if timeout is not None:
                    if timeout <= 0:  # do not wait, because the caller could be cancelled then
                        raise TimeoutError
                    self._set_deadline(timeout)
                waiter = self._waiter = protocol.waiter = DirectWaiter(self._loop)
                if self.on_data is not None:
                    waiter.on_data = partial(self._try_on_data, self.on_data, timeout)
                try:
                    await waiter
                finally:
                    self._waiter = None
                    if protocol.waiter is waiter:
                        protocol.waiter = None
                    del waiter  # its exception refers to this frame
            return data
        except TimeoutError:
            self._failure = TimeoutError()
            raise
        except (aiohttp.ClientError, OSError, RuntimeError) as exc:
            if exc is self._callback_error:
                raise
            if self._failure is None:
                self._failure = ApiConnectionError(f"the connection broke: {describe_exception(exc)}")
                self._failure.__cause__ = exc
            if arrived := self._take_buffered():
                return arrived
            raise self._failure from exc

    def _try_on_data(self, on_data: Callable[[bytes], bool], timeout: float | None, data: bytes) -> bool:
        """Return whether the callback consumed the data, so that `read` keeps waiting."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return False
        try:
            consumed = on_data(data)
        except Exception as exc:  # noqa: BLE001 - `read` raises it, not the event loop
            self._failure = self._callback_error = exc
            waiter.set_exception(exc)
            return True
        if consumed and timeout is not None:
            self._set_deadline(timeout)
        return consumed

    def _set_deadline(self, timeout: float) -> None:
        # One timer serves every read of the response. Moving its deadline costs almost nothing, while starting a timer
        # for each read would cost more than decoding the data.
        self._deadline = self._loop.time() + timeout
        if self._timer is None or self._deadline < self._timer_at:
            self._start_timer()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer_at = self._deadline  # kept here, because uvloop's timers forget a time that has passed
        self._timer = self._loop.call_at(self._timer_at, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if (waiter := self._waiter) is None or waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._start_timer()
        else:
            waiter.set_exception(TimeoutError())

    def _take_buffered(self) -> bytes:
        """Return the data that arrived before the connection broke; aiohttp keeps it but raises the error first."""
        self._content.set_exception(None)  # type: ignore[arg-type]  # the only public way to read on
        try:
            return self._content.read_nowait()
        except (aiohttp.ClientError, OSError, RuntimeError):
            return b""

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self, reason: ApiException | None = None) -> None:
        """Close the connection; see `ResponseStream.close`. Thread-safe, because finalizers call it.

        Args:
            reason: The exception for a `read` that is waiting, and for later ones.
        """
        if self._failure is None:
            self._failure = reason
        if self._loop.is_running() and self._loop is not running_loop():
            self._loop.call_soon_threadsafe(self.close)
            return
        self._stop_timer()
        self.on_data = None
        if self._pid != os.getpid():
            keep_inherited(self._response)
            return
        self._response.close()
        if self._waiter is not None:
            self._waiter.wake()

    async def aclose(self) -> None:
        """Close the connection; see `ResponseStream.aclose`."""
        self.close()


def _translate(exc: BaseException, request: HttpRequest) -> ApiException | None:
    """Return this package's error for one of aiohttp; None if it is to be raised as it is."""
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return ApiConnectionError(f"cannot connect to {request.url}: {exc}")
    if isinstance(exc, aiohttp.ClientError | OSError):
        if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
            return None
        error = ApiConnectionError(f"{request.method} {request.url}: {describe_exception(exc)}")
        if isinstance(exc, aiohttp.ClientResponseError):
            # Rejected by a proxy, or a response that is not HTTP, to which aiohttp gives status 400.
            error.retryable = is_retryable(exc.status)
        elif is_certificate_error(exc):
            check_certificate_file()
            error.retryable = False
        return error
    if isinstance(exc, ApiException):
        return None
    if isinstance(exc, ValueError | TypeError):  # a header that cannot be sent
        return InvalidArgument(f"invalid request to {request.url}: {exc}")
    if isinstance(exc, RuntimeError):  # the caller closed the session
        return ApiConnectionError(f"{request.method} {request.url}: {describe_exception(exc)}")
    return None


def _redact(exc: BaseException) -> None:
    if isinstance(exc, aiohttp.ClientResponseError):
        info = exc.request_info
        no_headers = CIMultiDictProxy(CIMultiDict[str]())
        exc.request_info = aiohttp.RequestInfo(info.url, info.method, no_headers, info.real_url)
        exc.history = ()
        exc.args = (exc.request_info, exc.history)


def _close_session(loop: Loop, session: aiohttp.ClientSession) -> None:
    if loop is not None and loop.is_running() and loop is not running_loop():
        loop.call_soon_threadsafe(_close_now, session)
    else:
        _close_now(session)


def _close_now(session: aiohttp.ClientSession) -> None:
    """Close a session without waiting, which also works when its loop is closed."""
    connector = session.connector
    session.detach()
    if connector is None:
        return
    closing = connector.close().__await__()
    try:
        next(closing)  # closes every connection; the following steps would wait until they are gone
    except StopIteration:
        pass
    else:
        closing.close()


def _check_ssl(ssl: object) -> None:
    if not isinstance(ssl, ssl_module.SSLContext | bool):
        raise InvalidArgument(
            f"ssl must be an ssl.SSLContext, or False to disable verification; got a {type(ssl).__name__}"
        )


def _text(value: str) -> str:
    """Repair header text that is not UTF-8.

    aiohttp decodes headers as UTF-8 and represents other bytes as surrogates, which cannot be encoded again. Such
    headers are decoded as Latin-1, the historical encoding (RFC 9110, section 5.5).
    """
    if value.isascii():
        return value
    raw = value.encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
