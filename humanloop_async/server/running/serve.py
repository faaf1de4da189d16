"""Running the server on an address, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from msgspec import Struct

from ..http.access_log import AccessLog, access_logger, log_left_requests
from ..http.app import create_app
from ..http.routing import BASE_PATH, SERVICE
from ..settings import ServeError, ServerSettings

MAX_LINE_BYTES = 256 * 1024
"""Longest request line, and longest header, in bytes (400 above): ``DELETE /logs`` has its ids in the first."""

HEAD_TIMEOUT = 30.0
"""Seconds within which the first request of a connection has to come."""

logger = logging.getLogger(__name__)


class ServerInfo(Struct, frozen=True, kw_only=True):
    """What a server that listens is like.

    Attributes:
        base_url: What clients take, such as ``http://127.0.0.1:8460/v4``.
        new_key: A key made at this start, because there was none; it cannot be shown again.
    """

    base_url: str
    new_key: str | None

    def __repr__(self) -> str:  # the key must not show
        return f"ServerInfo({self.base_url})"


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server as what a process is for: on uvloop, where the extra `fast` has brought that."""
    loop_factory = None
    with suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serving)


def raise_file_limit(max_generations: int) -> None:
    """Let the process have as many open files as it may: a generation has two connections, the usual limit is 1,024."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS allows fewer than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    needed = 2 * max_generations + 50
    if soft != resource.RLIM_INFINITY and soft < needed:
        logger.warning(
            "%s generations at once need up to %s open files, and this process may have %s (ulimit -n)",
            max_generations,
            needed,
            soft,
        )


async def serve(settings: ServerSettings, *, on_ready: Callable[[ServerInfo], object] | None = None) -> None:
    """Serve until SIGTERM, SIGINT, SIGHUP or cancellation.

    Then no new generation is taken (503), those that run get `ServerSettings.shutdown_timeout` seconds, and what
    still runs after that is cancelled and logged as interrupted. A second signal ends the process at once; SIGHUP does
    not, because a terminal that is closed may send it twice.

    Args:
        on_ready: Called once the server listens, with its address and a key that was made.

    Raises:
        ServeError: It may not or cannot listen on the address.
        DatabaseError: The database cannot be opened.
    """
    stop = asyncio.Event()
    with stopped_by_hangup(stop):
        async with running(settings) as info:
            with stopped_by_signals(stop):
                if on_ready is not None:
                    on_ready(info)
                await stop.wait()


@asynccontextmanager
async def running(settings: ServerSettings, listener: socket.socket | None = None) -> AsyncGenerator[ServerInfo]:
    """A server that listens for as long as the block runs, and then stops as `serve` does.

    Args:
        listener: A socket to listen on, in place of the settings' address.

    Raises:
        ServeError: It may not or cannot listen on the address.
        DatabaseError: The database cannot be opened.
    """
    app = create_app(settings)
    app.middlewares.insert(0, log_left_requests)
    service = app[SERVICE]
    runner = web.AppRunner(
        app,
        handler_cancellation=True,  # a client that goes away stops its generation
        access_log=access_logger,
        access_log_class=AccessLog,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        shutdown_timeout=1,  # `drain` has given generations their time already
    )
    try:
        await runner.setup()
        try:
            await _site(runner, settings, listener).start()
        except (OSError, UnicodeError) as exc:
            raise cannot_listen(settings, exc) from exc
        closing = asyncio.create_task(_close_idle_connections(runner))
        try:
            yield ServerInfo(base_url=base_url(runner.addresses[0]), new_key=service.new_key)
        finally:
            closing.cancel()
    finally:
        await service.drain()  # before the sockets close, so that new calls get an answer
        await runner.cleanup()


async def _close_idle_connections(runner: web.AppRunner) -> None:
    """Close connections that ask for nothing; aiohttp's own clock begins after a connection's first request."""
    assert runner.server is not None
    silent: set[RequestHandler] = set()
    while True:
        await asyncio.sleep(HEAD_TIMEOUT / 2)
        before, silent = silent, {one for one in runner.server.connections if one._request_count == 0}
        for connection in runner.server.connections:
            if connection in before and connection in silent:
                connection.force_close()


def _site(runner: web.AppRunner, settings: ServerSettings, listener: socket.socket | None) -> web.BaseSite:
    if listener is None:
        return web.TCPSite(runner, settings.host, settings.port)
    return web.SockSite(runner, listener)


def cannot_listen(settings: ServerSettings, exc: OSError | UnicodeError) -> ServeError:
    """What to say of an address that cannot be had; a name with an empty or very long part is a UnicodeError."""
    words = "this is no name of a host" if isinstance(exc, UnicodeError) else exc.strerror or exc
    return ServeError(f"cannot listen on {settings.host} port {settings.port}: {words}")


def base_url(address: tuple[str, int]) -> str:
    """What clients of a server on that socket address take."""
    host, port = address[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{BASE_PATH}"


@contextmanager
def stopped_by_signals(stop: asyncio.Event, *numbers: signal.Signals) -> Generator[None]:
    """In the block, SIGINT and SIGTERM, or other signals, set `stop`; after it they act as they always do."""
    loop = asyncio.get_running_loop()
    numbers = numbers or (signal.SIGINT, signal.SIGTERM)
    try:
        for number in numbers:
            loop.add_signal_handler(number, stop.set)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread: cancel the task instead
        yield
        return
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def stopped_by_hangup(stop: asyncio.Event) -> AbstractContextManager[None]:
    """In the block, SIGHUP sets `stop`, unless it is ignored, as ``nohup`` has it. The block is everything, stopping
    included: a terminal that is closed may send it twice."""
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return nullcontext()
    return stopped_by_signals(stop, signal.SIGHUP)
