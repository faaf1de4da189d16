"""One running server's parts: database, providers, log writer, and the generations in progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, contextmanager

from sqlalchemy import select

from .errors import ApiError
from .generation.builder import GenerationBuilder
from .generation.config_resolver import ConfigResolver
from .generation.idempotency import Idempotency
from .generation.log_writer import LogWriter
from .providers.registry import Providers
from .records.environments import Environments
from .records.sampling import Sampler
from .settings import ServeError, ServerSettings
from .storage.database import Database
from .storage.errors import is_unreachable
from .storage.keys import add_key, any_key, generate_key, valid_key_id
from .templates.jinja import JinjaRenderer

MAX_SEARCHES = 2
"""Lists that read all of a project's logs run so many at once; more of them wait for each other."""

READY_TIMEOUT = 5.0
"""Seconds within which the database of a server that is ready answers."""


class Service:
    """What the handlers work with. Its parts exist while `run` does.

    Attributes:
        stopping: No new generation is taken.
        new_key: A key that was made at start, because the database had none and none was given.
    """

    database: Database
    environments: Environments
    log_writer: LogWriter
    idempotency: Idempotency
    preparation: GenerationBuilder

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.stopping = False
        self.new_key: str | None = None
        self.sampler = Sampler(settings.experiment_sampling, settings.experiment_sticky, settings.experiment_seed)
        self.searches = asyncio.Semaphore(MAX_SEARCHES)
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()

    async def run(self) -> AsyncGenerator[None]:
        """Open everything, and close it in reverse; aiohttp's form of a context manager."""
        async with AsyncExitStack() as stack:
            self.database = await Database.open(self.settings.database)
            stack.push_async_callback(self.database.aclose)
            self.new_key = await ensure_api_key(self.database, self.settings)
            self.environments = await Environments.open(self.database, self.settings.environments)
            self.log_writer = await stack.enter_async_context(LogWriter(self.database))
            keys = Idempotency(self.database, self.log_writer, self.settings.idempotency_ttl)
            self.idempotency = await stack.enter_async_context(keys)
            providers = Providers(self.settings.providers)
            stack.push_async_callback(providers.aclose)
            jinja = JinjaRenderer()
            stack.push_async_callback(jinja.aclose)
            selector = ConfigResolver(self.database, self.environments, self.sampler)
            self.preparation = GenerationBuilder(self.settings, self.database, selector, providers, jinja)
            yield

    @contextmanager
    def admitted(self) -> Generator[None]:
        """Count the current task as a generation.

        Raises:
            ApiError: Too many run at once (429), or the server is stopping (503).
        """
        if self.stopping:
            raise ApiError(503, "the server is stopping", retry_after=1)
        if len(self._running) >= self.settings.max_generations:
            limit = self.settings.max_generations
            raise ApiError(429, f"{limit} generations run already, which is this server's limit", retry_after=1)
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    async def drain(self) -> None:
        """Take no new generations; give the running ones `ServerSettings.shutdown_timeout`, then cancel them."""
        self.stopping = True
        wait = self.settings.shutdown_timeout
        while self._running:
            self._idle.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._idle.wait()
            except TimeoutError:
                for task in self._running:
                    task.cancel()
                wait = 1  # to say so to the client; one that does not read would keep it from ending

    async def check_ready(self) -> None:
        """Whether calls can be served.

        Raises:
            ApiError: The server is stopping, or its database does not answer (503).
        """
        if self.stopping:
            raise ApiError(503, "the server is stopping", retry_after=1)
        try:
            async with asyncio.timeout(READY_TIMEOUT), self.database.read() as connection:
                await connection.execute(select(1))
        except Exception as exc:
            if not is_unreachable(exc):
                raise
            raise ApiError(503, "the database does not answer", retry_after=1) from exc


async def ensure_api_key(database: Database, settings: ServerSettings) -> str | None:
    """Let the configured key in; without one, see to it that there is any. Several servers may start at once.

    Returns:
        A key that had to be made.

    Raises:
        ServeError: The key was revoked, or the server would be open to other machines without one.
    """
    async with database.exclusive() as connection:
        if settings.api_key is not None:
            await add_key(connection, settings.api_key, "given at start")
            if await valid_key_id(connection, settings.api_key) is None:
                raise ServeError("the key in HUMANLOOP_API_KEY has been revoked; give another one")
            return None
        if await any_key(connection):
            return None
        if not settings.is_loopback:
            raise ServeError(
                f"{settings.host} can be reached from other machines, and no key protects it; set "
                "HUMANLOOP_API_KEY, or make a key with `humanloop-async keys create`"
            )
        key = generate_key()
        await add_key(connection, key, "made at first start")
        return key
