"""A server on an address, until it gets a signal."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web
from msgspec import Struct

from ..http.access_log import log_disconnects
from ..http.app import create_app
from ..http.origins import host_check
from ..http.requests import SERVICE
from ..http.routing import BASE_PATH
from ..service import check_new_database
from ..settings import ServeError, ServerSettings
from .connections import bind, close_idle_connections
from .signals import StopSignals

HEAD_TIMEOUT = 30.0
"""Seconds that the first request of a connection may take to arrive."""

logger = logging.getLogger(__name__)


class ServerInfo(Struct, frozen=True, kw_only=True):
    """The address of a listening server, and its first API key.

    Attributes:
        base_url: Base URL for clients, such as ``http://127.0.0.1:8460/v4``.
        new_key: The API key that was created at start, if there was none. It cannot be shown again.
        other_keys: Number of valid keys in the database, without the new one and that in the settings.
        stop_now: Cancels the running generations, so that the server stops without waiting for them.
    """

    base_url: str
    new_key: str | None
    other_keys: int
    stop_now: Callable[[], object]

    def __repr__(self) -> str:  # the key is secret
        return f"ServerInfo({self.base_url})"


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server as the only task of the process: on uvloop if it is installed (extra `fast`)."""
    loop_factory = None
    with suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serving)


def raise_file_limit(max_generations: int) -> None:
    """Raise the limit of open files to the maximum: a generation uses two connections, and the usual limit is 1,024.

    Logs a warning if `max_generations` need more than that.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS allows fewer than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    needed = 2 * max_generations + 50
    if soft != resource.RLIM_INFINITY and soft < needed:
        logger.warning(
            "%s generations at once need up to %s open files, but the limit is %s; raise it with ulimit -n",
            max_generations,
            needed,
            soft,
        )


async def serve(
    settings: ServerSettings,
    *,
    on_start: Callable[[], object] | None = None,
    on_ready: Callable[[ServerInfo], object] | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT, SIGHUP or cancellation.

    The server then rejects new generations (503), and cancels those that still run after
    `ServerSettings.shutdown_timeout` seconds; their logs get the status ``interrupted``. A second SIGTERM or SIGINT
    cancels them at once, and ends the process within a second. A second SIGHUP does not, because a closing terminal may
    send two. Before the server listens, the first signal ends the process within a second.

    Args:
        settings: Configuration of the server.
        on_start: Called when the address is bound, before the database is opened.
        on_ready: Called when the server listens.

    Raises:
        ServeError: The server cannot listen on the address, or must not without an API key.
        DatabaseError: The database cannot be opened.
        SystemExit: A second signal, or one during the start, ended the server.
    """
    signals = StopSignals()
    with signals.handled():
        async with running(settings, on_start=on_start) as info:
            signals.started(info.stop_now)
            if on_ready is not None:
                on_ready(info)
            await signals.wait()


@asynccontextmanager
async def running(
    settings: ServerSettings,
    listener: socket.socket | None = None,
    *,
    head_timeout: float = HEAD_TIMEOUT,
    on_start: Callable[[], object] | None = None,
) -> AsyncGenerator[ServerInfo]:
    """Run a server as long as the block, and then stop it as `serve` does.

    Args:
        settings: Configuration of the server.
        listener: Socket to listen on, instead of the address in the settings.
        head_timeout: Seconds that the first request of a connection may take to arrive.
        on_start: Called when the address is bound, before the database is opened.

    Raises:
        ServeError: The server cannot listen on the address, or must not without an API key.
        DatabaseError: The database cannot be opened.
    """
    app = create_app(settings, auto_decompress=False)
    app.middlewares.insert(0, log_disconnects)
    if settings.is_loopback:
        app.middlewares.append(host_check(settings))
    service = app[SERVICE]
    runner = web.AppRunner(
        app,
        handler_cancellation=True,  # a client that disconnects stops its generation
        shutdown_timeout=1,  # `drain` has already waited for the generations
    )
    try:
        server = await bind(runner, settings, listener)  # before the database is created
    except (OSError, UnicodeError) as exc:
        raise cannot_listen(settings, exc) from exc
    try:
        check_new_database(settings)
        if on_start is not None:
            on_start()
        await runner.setup()
        try:
            await server.start_serving()
        except OSError as exc:
            await service.discard_new_key()
            raise cannot_listen(settings, exc) from exc
        closing = asyncio.create_task(close_idle_connections(runner, head_timeout))
        try:
            yield ServerInfo(
                base_url=base_url(server.sockets[0].getsockname()),
                new_key=service.keys.new_key,
                other_keys=service.keys.others,
                stop_now=service.cancel_generations,
            )
        except OSError:  # the address and the key could not be printed
            await service.discard_new_key()
            raise
        finally:
            closing.cancel()
            await service.drain()  # before the sockets close, so that new calls get a response
            server.close()
    finally:
        server.close()
        await runner.cleanup()


def cannot_listen(settings: ServerSettings, exc: OSError | UnicodeError) -> ServeError:
    """Return the error for an address that is not available.

    A host name with an empty or very long label raises UnicodeError.
    """
    if isinstance(exc, UnicodeError):
        reason = "not a valid host name"
    elif exc.errno == errno.EADDRINUSE:
        reason = "the port is in use; use --port 0 for a free one"
    elif exc.errno is None or isinstance(exc, socket.gaierror):
        reason = exc.strerror or str(exc)
    else:
        reason = os.strerror(exc.errno)  # the text of asyncio repeats the address
    return ServeError(f"cannot listen on {settings.host} port {settings.port}: {reason}")


def base_url(address: tuple[str, int]) -> str:
    """Return a base URL of a server that listens on a socket address: on loopback if it listens on all addresses."""
    host, port = address[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{BASE_PATH}"
