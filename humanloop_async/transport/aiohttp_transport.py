"""The default transport: aiohttp, one session per event loop."""

from __future__ import annotations

import asyncio
import io
import os
import ssl as ssl_module
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, cast
from weakref import WeakSet

import aiohttp
from multidict import CIMultiDict, istr

from ..config import check_count
from ..errors import ApiConnectionError, ApiException, ClientClosed, InvalidArgument, is_retryable
from ..wire.requests import HttpRequest
from . import allocator
from .aiohttp_body import Handler, slim
from .arrival import Arrival, running_loop
from .base import words_of
from .proxy import split_proxy

_name = lru_cache(256)(istr)
"""Header names in the form that aiohttp sends, made once for all requests instead of once for each."""

_NO_CLOCKS = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)

_PROXIES = ("http", "https")

_MAX_HEADER = 64 * 1024
"""Bytes of one header, and of the status line. aiohttp's own bound of 8 KiB is below what gateways send."""

_MAX_RAW_BODY = 1 << 20
"""Bytes from which aiohttp wants a body as a file, written in pieces, and warns about any other."""


class AiohttpTransport:
    """Sends requests with aiohttp.

    A session is opened for each event loop that uses the transport, on first use; a session of your own is
    used as it is and never closed.

    Args:
        session: A session of your own; the settings below then do not apply.
        max_connections: Connections open at once, 0 for no limit. A stream holds one until it ends.
        connect_timeout: Longest wait for one TCP and TLS connection, in seconds.
        ssl: An SSL context, for a CA or a client certificate of your own; False verifies nothing.
        proxy: Proxy URL.
        trust_env: Take the proxy from ``HTTP_PROXY`` and its kin.

    Raises:
        InvalidArgument: A setting cannot be used.
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
        allocator.settle()
        check_count("max_connections", max_connections)
        _check_ssl(ssl)
        self._own_session = session
        self._max_connections = max_connections
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
        self._ssl = ssl
        self._proxy: str | None = None
        self._proxy_headers: dict[str, str] = {}
        if proxy is not None:
            self._proxy, user = split_proxy(proxy, _PROXIES)
            if user is not None:
                self._proxy_headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(*user)
        self._trust_env = trust_env
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}
        self._responses: WeakSet[AiohttpResponse] = WeakSet()  # open ones, or not collected yet
        self._pid = os.getpid()
        self._closed = False

    def _session(self) -> aiohttp.ClientSession:
        if self._own_session is not None:
            return self._own_session
        if self._closed:
            raise ClientClosed("the transport is closed; make a new client")
        self._leave_to_other_process()
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            for other in list(self._sessions):
                if other.is_closed():  # a loop that ended took its connections along
                    _close_now(self._sessions.pop(other))
            connector = aiohttp.TCPConnector(limit=self._max_connections, ssl=self._ssl)
            if hasattr(connector, "_factory"):  # no public way to choose it; without it, reading is merely slower
                connector._factory = cast("Any", partial(Handler, loop=loop))
            session = aiohttp.ClientSession(
                connector=connector,
                trust_env=self._trust_env,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                proxy=self._proxy,
                max_line_size=_MAX_HEADER,
                max_field_size=_MAX_HEADER,
            )
            self._sessions[loop] = session
        return session

    def _leave_to_other_process(self) -> None:
        """After a fork, the parent's connections are the parent's: closing them here would disturb its event loop."""
        if self._pid != os.getpid():
            _of_other_processes.append(self._sessions)
            self._sessions, self._responses, self._pid = {}, WeakSet(), os.getpid()

    async def send(self, request: HttpRequest, timeout: float | None) -> AiohttpResponse:
        """See `Transport.send`."""
        if running_loop() is None:
            raise InvalidArgument("aiohttp needs asyncio; under trio, use transport='httpx'")
        session = self._session()
        body = request.body
        headers: dict[str, str] = {_name(name): value for name, value in request.headers.items()}
        if request.url.startswith("http:"):  # else for the proxy alone
            headers |= self._proxy_headers
        try:
            async with asyncio.timeout(timeout):
                response = await session.request(
                    request.method,
                    request.url,
                    data=body if body is None or len(body) <= _MAX_RAW_BODY else io.BytesIO(body),
                    headers=headers,
                    proxy_headers=self._proxy_headers,
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=_NO_CLOCKS if self._own_session is not None else self._timeout,
                )
        except aiohttp.ConnectionTimeoutError as exc:
            raise ApiConnectionError(f"cannot connect to {request.url}: {exc}") from exc
        except aiohttp.ClientResponseError as exc:
            # A proxy's refusal, or an answer that is not HTTP, which counts as 400.
            failed = ApiConnectionError(f"{request.method} {request.url}: {words_of(exc)}")
            failed.retryable = is_retryable(exc.status)
            raise failed from exc
        except (aiohttp.ClientError, OSError) as exc:
            if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
                raise
            raise ApiConnectionError(f"{request.method} {request.url}: {words_of(exc)}") from exc
        except (ValueError, TypeError) as exc:  # a header that cannot be sent
            raise InvalidArgument(f"the request cannot be sent: {exc}") from exc
        except RuntimeError as exc:  # the session was closed by its owner
            raise ApiConnectionError(f"{request.method} {request.url}: {words_of(exc)}") from exc
        if self._own_session is None:
            response._raw_headers = ()  # the headers once more, which nobody reads here and every stream would hold
        made = AiohttpResponse(response)
        self._responses.add(made)
        return made

    async def aclose(self) -> None:
        """Close the sessions that this transport opened, and the responses that are still being read."""
        self._leave_to_other_process()
        loop = running_loop()
        session = self._sessions.pop(loop, None) if loop is not None else None
        self.close()
        if session is not None:
            await session.close()

    def close(self) -> bool:
        """`aclose` without waiting. False when there was nothing to close."""
        self._closed = True
        self._leave_to_other_process()
        for response in list(self._responses):
            response.close(ClientClosed("the client was closed while the answer was being read"))
        sessions = list(self._sessions.items())
        self._sessions.clear()
        for loop, session in sessions:
            if loop.is_running() and loop is not running_loop():
                loop.call_soon_threadsafe(_close_now, session)
            else:
                _close_now(session)
        return bool(sessions)


_of_other_processes: list[object] = []
"""Sessions of the process that this one was forked from. Kept, because even their finalizers would close them."""


class AiohttpResponse:
    """See `ResponseStream`.

    Attributes:
        tap: Called with whole chunks that arrive while a `read` waits and nothing else is unread, from where they were
            received: that spares a stream that is passed on the way through the reader's task for each of its
            tokens. False leaves the bytes to the `read`. What it raises, the `read` raises.
    """

    __slots__ = (
        "__weakref__",
        "_arrival",
        "_content",
        "_deadline",
        "_failure",
        "_handler",
        "_loop",
        "_pid",
        "_response",
        "_tap_failure",
        "_timer",
        "_timer_at",
        "tap",
    )

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self._loop = asyncio.get_running_loop()
        protocol = response.connection.protocol if response.connection is not None else None
        self._handler = protocol if isinstance(protocol, Handler) else None
        if self._handler is not None:
            slim(self._content, self._handler, encoded="Content-Encoding" in response.headers)
        self._arrival: Arrival | None = None
        self._deadline = self._timer_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        self._pid = os.getpid()
        self._tap_failure: Exception | None = None
        self.tap: Callable[[bytes], bool] | None = None

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def reason(self) -> str:
        return _text(self._response.reason or "")

    @property
    def headers(self) -> Mapping[str, str]:
        # A copy, because aiohttp's own cannot be pickled, and errors carry it.
        return CIMultiDict((name, _text(value)) for name, value in self._response.headers.items())

    async def read(self, timeout: float | None) -> bytes:
        """See `ResponseStream.read`."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        content, handler = self._content, self._handler
        try:
            while not (data := content.read_nowait()):
                if handler is None or handler.body is not content:  # else more chunks are to come
                    if content.at_eof():
                        self._disarm()
                        return b""
                    if handler is None:
                        async with asyncio.timeout(timeout):
                            return await content.readany()
                    if not handler.connected:  # aiohttp does not tell the body of a chunk that it could not parse
                        failure = handler.exception() or EOFError("no end of the body")
                        raise aiohttp.ClientPayloadError(words_of(failure))
                if timeout is not None:
                    self._set_deadline(timeout)
                arrival = self._arrival = handler.arrival = Arrival(self._loop)
                if self.tap is not None:
                    arrival.tap = partial(self._offer, self.tap, timeout)
                try:
                    await arrival
                finally:
                    self._arrival = None
                    if handler.arrival is arrival:
                        handler.arrival = None
            return data
        except TimeoutError:
            self._failure = TimeoutError()
            raise
        except (aiohttp.ClientError, OSError, RuntimeError) as exc:
            if exc is self._tap_failure:
                raise
            if self._failure is None:
                self._failure = ApiConnectionError(f"the connection broke: {words_of(exc)}")
                self._failure.__cause__ = exc
            if arrived := self._take_buffered():
                return arrived
            raise self._failure from exc

    def _offer(self, tap: Callable[[bytes], bool], timeout: float | None, data: bytes) -> bool:
        """Whether the tap has taken what has come, so that the `read` goes on waiting."""
        arrival = self._arrival
        if arrival is None or arrival.done():
            return False
        try:
            taken = tap(data)
        except Exception as exc:  # noqa: BLE001 - the event loop must not meet it
            self._failure = self._tap_failure = exc
            arrival.set_exception(exc)
            return True
        if taken and timeout is not None:
            self._set_deadline(timeout)
        return taken

    def _set_deadline(self, timeout: float) -> None:
        # One timer serves every read of the response: moving a deadline costs next to nothing, arming a
        # timer for each read would cost more than decoding what it brings.
        self._deadline = self._loop.time() + timeout
        if self._timer is None or self._deadline < self._timer_at:
            self._arm()

    def _arm(self) -> None:
        self._disarm()
        self._timer_at = self._deadline  # uvloop's timer for a time that has passed cannot tell it
        self._timer = self._loop.call_at(self._timer_at, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if (arrival := self._arrival) is None or arrival.done():
            return
        if self._loop.time() < self._deadline:
            self._arm()
        else:
            arrival.set_exception(TimeoutError())

    def _take_buffered(self) -> bytes:
        """What came before the connection broke; aiohttp keeps it and raises the error first."""
        self._content.set_exception(None)  # type: ignore[arg-type]  # the only public way to read on
        try:
            return self._content.read_nowait()
        except (aiohttp.ClientError, OSError, RuntimeError):
            return b""

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self, reason: ApiException | None = None) -> None:
        """See `ResponseStream.close`. Readers get `reason`. May be called from any thread, as finalizers are."""
        if self._failure is None:
            self._failure = reason
        if self._loop.is_running() and self._loop is not running_loop():
            self._loop.call_soon_threadsafe(self.close)
            return
        self._disarm()
        self.tap = None
        if self._pid != os.getpid():
            _of_other_processes.append(self._response)
            return
        self._response.close()
        if self._arrival is not None:
            self._arrival.fire()

    async def aclose(self) -> None:
        """See `ResponseStream.aclose`."""
        self.close()


def _close_now(session: aiohttp.ClientSession) -> None:
    """Close without waiting: also where nothing can wait any more, since the session's loop is closed."""
    connector = session.connector
    session.detach()
    if connector is None:
        return
    with warnings.catch_warnings(module=warnings):  # at exit it cannot be imported any more
        # The sockets of a closed loop are closed by their finalizers, which warn about it.
        warnings.simplefilter("ignore", ResourceWarning)
        closing = connector.close().__await__()
        try:
            next(closing)  # closes every connection, then would wait for them to be gone
        except StopIteration:
            pass
        else:
            closing.close()
        del connector, session, closing


def _check_ssl(ssl: object) -> None:
    if not isinstance(ssl, ssl_module.SSLContext | bool):
        raise InvalidArgument(f"ssl is a {type(ssl).__name__}: give an ssl.SSLContext, or False to verify nothing")


def _text(value: str) -> str:
    """A header's text. aiohttp reads UTF-8 and keeps other bytes as surrogates, which nothing can write; Latin-1 was
    what headers were once written in."""
    if value.isascii():
        return value
    raw = value.encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
