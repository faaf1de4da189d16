"""The parts of a running server: database, providers, log writer, and the generations in progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from .errors import ApiError
from .evaluation.python_evaluators import IsolationUnavailable, PythonEvaluators
from .evaluation.runner import EvaluationRunner
from .generation.builder import GenerationBuilder
from .generation.config_resolver import ConfigResolver
from .generation.idempotency import Idempotency
from .generation.log_writer import LogWriter
from .providers.registry import Providers
from .records.environments import Environments
from .records.sampling import Sampler
from .settings import ServeError, ServerSettings
from .storage.database import Database, new_files
from .storage.keys import add_key, count_keys, delete_key, generate_key, store_uses, valid_key_id
from .templates.jinja import JinjaRenderer

if TYPE_CHECKING:
    from .metrics import Metrics

logger = logging.getLogger(__name__)

MAX_SEARCHES = 2
"""Most requests at once that read all logs of a project; further ones wait."""

WRITE_TIMEOUT = 10.0
"""Seconds that calls whose clients have left get to finish when the server stops."""

KEY_USE_INTERVAL = 60.0
"""Seconds between two writes of the times at which keys were used."""

METRICS_INTERVAL = 1.0
"""Seconds between two updates of the current values of this process, which other processes report, too."""

READY_TIMEOUT = 5.0
"""Seconds that the database has to respond when a client asks whether the server is ready."""


T = TypeVar("T")


class ByteBudget:
    """Limits the bytes of the request bodies that are in memory at the same time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @contextmanager
    def accounted(self) -> Generator[Callable[[int], None]]:
        """Provide a function that adds bytes, which count until the block ends. It raises a 503 above the limit."""
        added = 0

        def add(size: int) -> None:
            nonlocal added
            if self._used + size > self._limit:
                message = f"the requests in progress have more than {self._limit} bytes in total; retry later"
                raise ApiError(503, message, retry_after=1)
            self._used += size
            added += size

        try:
            yield add
        finally:
            self._used -= added


class Service:
    """The parts of a server that its handlers use. They exist while `run` is active.

    Attributes:
        body_bytes: The bytes of the request bodies in flight.
        decoding: Held while a thread decodes a large body: several would only compete for Python's lock.
        leaving: Whether a reverse proxy should send new calls to another server; they are still served.
        metrics: Metrics for Prometheus, if they are on.
        stopping: Whether new generations are rejected.
        keys: The API keys at the start.
        key_uses: Times of the last uses of API keys, by their ids, which are not stored yet.
    """

    database: Database
    environments: Environments
    providers: Providers
    log_writer: LogWriter
    idempotency: Idempotency
    generation_builder: GenerationBuilder
    keys: KeysAtStart
    evaluations: EvaluationRunner

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.leaving = False
        self.stopping = False
        self.key_uses: dict[str, datetime] = {}
        self.sampler = Sampler(settings.experiment_sampling, settings.experiment_sticky, settings.experiment_seed)
        self.searches = asyncio.Semaphore(MAX_SEARCHES)
        self.decoding = asyncio.Semaphore(1)
        self.body_bytes = ByteBudget(settings.max_bodies_bytes)
        self._writes: set[asyncio.Task[Any]] = set()
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self.metrics: Metrics | None = None
        if settings.metrics:
            self.metrics = load_metrics().Metrics(self._current_metrics)
        self._cancelled = asyncio.Event()

    async def run(self) -> AsyncGenerator[None]:
        """Open all parts, and close them in reverse order. This is a cleanup context of aiohttp."""
        async with AsyncExitStack() as stack:
            self.database = await Database.open(self.settings.database, connections=self.settings.db_connections)
            stack.push_async_callback(self.database.aclose)
            self.keys = await ensure_api_key(self.database, self.settings)
            started = False

            async def discard_unseen_key() -> None:
                if not started:
                    await self.discard_new_key()

            stack.push_async_callback(discard_unseen_key)
            await stack.enter_async_context(_repeated(self._store_key_uses, KEY_USE_INTERVAL))
            self.environments = await Environments.open(self.database, self.settings.environments)
            self.log_writer = await stack.enter_async_context(LogWriter(self.database))
            idempotency = Idempotency(self.database, self.log_writer, self.settings.idempotency_ttl)
            self.idempotency = await stack.enter_async_context(idempotency)
            providers = self.providers = Providers(self.settings.providers)
            stack.push_async_callback(providers.aclose)
            jinja = JinjaRenderer()
            stack.push_async_callback(jinja.aclose)
            resolver = ConfigResolver(self.database, self.environments, self.sampler)
            self.generation_builder = GenerationBuilder(self.settings, self.database, resolver, providers, jinja)
            self.evaluations = await stack.enter_async_context(
                EvaluationRunner(
                    self.database,
                    self.log_writer,
                    self.generation_builder,
                    self.settings.max_evaluation_steps,
                    await python_evaluators(self.settings),
                )
            )
            stack.push_async_callback(self._finish_writes)
            if self.metrics is not None and self.metrics.is_shared:
                await stack.enter_async_context(_repeated(self._refresh_metrics, METRICS_INTERVAL))
            started = True  # from now on, a failure while the parts close must not delete a key that is in use
            yield

    async def discard_new_key(self) -> None:
        """Delete the API key that was created at the start, because nobody has seen it."""
        await discard_key(self.database, self.keys)

    async def _store_key_uses(self) -> None:
        """Store the last uses of keys."""
        uses, self.key_uses = self.key_uses, {}
        with suppress(Exception):  # the next use is stored
            if uses:
                async with asyncio.timeout(READY_TIMEOUT), self.database.write() as connection:
                    await store_uses(connection, uses)

    async def _refresh_metrics(self) -> None:
        """Update this process's values, which other processes report, too."""
        assert self.metrics is not None
        self.metrics.refresh()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, also if the current task is cancelled, and return its result."""
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def _finish_writes(self) -> None:
        for timeout in (WRITE_TIMEOUT, 1):
            if self._writes:
                _, late = await asyncio.wait(self._writes, timeout=timeout)
                for task in late:
                    task.cancel()

    @contextmanager
    def admission(self) -> Generator[None]:
        """Count the current task as a running generation inside the block.

        Raises:
            ApiError: `max_generations` are running (429), or the server is stopping (503).
        """
        try:
            self._check_room()
        except ApiError as exc:
            if self.metrics is not None:
                self.metrics.rejected.labels(exc.status).inc()
            raise
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    def _check_room(self) -> None:
        if self.stopping:
            raise ApiError(503, "the server is stopping", retry_after=1)
        if len(self._running) >= self.settings.max_generations:
            limit = self.settings.max_generations
            raise ApiError(429, f"the server already runs {limit} generations, its limit; retry later", retry_after=1)

    def _current_metrics(self) -> dict[str, float]:
        pools = (self.database.readers, self.database.writers)
        return {
            "humanloop_running_generations": len(self._running),
            "humanloop_log_backlog": self.log_writer.backlog,
            "humanloop_database_waits_total": sum(pool.waits for pool in pools),
            "humanloop_database_wait_seconds_total": sum(pool.seconds_waited for pool in pools),
        }

    async def drain(self) -> None:
        """Wait for `ServerSettings.drain_delay`; then reject new generations, and wait for the running ones.

        Those that still run after `ServerSettings.shutdown_timeout` seconds are cancelled.
        """
        if not self.leaving:
            self.leaving = True
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.drain_delay):
                    await self._cancelled.wait()
        self.stopping = True
        timeout = self.settings.shutdown_timeout
        while self._running:
            self._idle.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._idle.wait()
            except TimeoutError:
                self.cancel_generations()
                timeout = 1  # to send their errors; cancel again those whose client does not read

    def cancel_generations(self) -> None:
        """Reject new generations, and cancel the running ones."""
        self.stopping = True
        self._cancelled.set()
        for task in self._running:
            task.cancel()

    async def check_ready(self) -> None:
        """Check that calls can be served: the database can be read, and the last write, if it is recent, worked.

        Raises:
            ApiError: The server is stopping, or its database does not work (503).
        """
        if self.leaving:
            raise ApiError(503, "the server is stopping", retry_after=1)
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await self.database.check(self.log_writer.renew_lease)
        except Exception as exc:
            self.database.health.failed("write", exc)  # one that only took too long, too
            # Callers need no key, so they get no details; these are in the log.
            raise ApiError(503, "the database cannot be read or written", retry_after=1) from exc


@asynccontextmanager
async def _repeated(work: Callable[[], Coroutine[Any, Any, None]], interval: float) -> AsyncGenerator[None]:
    """Call a function every `interval` seconds inside the block, and once at its end."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(interval)
            await work()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await work()


def load_metrics() -> ModuleType:
    """Import the module of the metrics.

    Raises:
        ServeError: Its library is not installed.
    """
    try:
        from . import metrics
    except ModuleNotFoundError as exc:
        raise ServeError(
            "metrics need prometheus-client; install the extra `metrics` of this package "
            "(in its folder: pip install '.[metrics]')"
        ) from exc
    return metrics


async def python_evaluators(settings: ServerSettings) -> PythonEvaluators | None:
    """Return the runner of python evaluators, or None if the settings do not allow them.

    Raises:
        ServeError: This system cannot isolate them.
    """
    if not settings.python_evaluators:
        return None
    python = PythonEvaluators()
    try:
        await python.check()
    except IsolationUnavailable as exc:
        raise ServeError(f"cannot run python evaluators: {exc}; start without --python-evaluators") from exc
    return python


def _log_failure(task: asyncio.Task[Any]) -> None:
    """Log the error of a call whose client has left, unless the call was rejected or its body is incomplete."""
    if not task.cancelled() and not isinstance(exc := task.exception(), ApiError | ConnectionError | None):
        logger.error("a call failed after its client had left", exc_info=exc)


class KeysAtStart(Struct, frozen=True, kw_only=True):
    """The API keys when a server starts.

    Attributes:
        new_key: The key that was created, because none was configured and the database had none.
        others: Number of valid keys in the database, without the new and the configured one.
    """

    new_key: str | None
    others: int

    def __repr__(self) -> str:  # the key is secret
        return f"KeysAtStart(others={self.others})"


async def discard_key(database: Database, keys: KeysAtStart) -> None:
    """Delete the new API key, if there is one, because nobody has seen it."""
    if keys.new_key is not None:
        async with database.write() as connection:
            await delete_key(connection, keys.new_key)


def check_new_database(settings: ServerSettings) -> None:
    """Check, before a new database is created, that it may get a new key.

    Raises:
        ServeError: Other machines can reach the server.
    """
    if settings.api_key is None and not settings.is_loopback and new_files(settings.database) is not None:
        raise _no_key(settings)


def _no_key(settings: ServerSettings) -> ServeError:
    return ServeError(
        f"other machines can reach {settings.host}, and the database has no API key; set "
        "HUMANLOOP_API_KEY, or create a key with `humanloop-async keys create`"
    )


async def ensure_api_key(database: Database, settings: ServerSettings) -> KeysAtStart:
    """Store the configured API key; without one, create a key if the database has none.

    Several servers may do this at the same time.

    Raises:
        ServeError: The configured key has been revoked, or there is no key and other machines can reach the server.
    """
    async with database.exclusive() as connection:
        if settings.api_key is not None:
            await add_key(connection, settings.api_key, "", "environment")
            if await valid_key_id(connection, settings.api_key, settings.api_key) is None:
                raise ServeError("the key in HUMANLOOP_API_KEY has been revoked; use another one")
            is_stored = await valid_key_id(connection, settings.api_key) is not None  # also without the variable
            return KeysAtStart(new_key=None, others=await count_keys(connection) - is_stored)
        if count := await count_keys(connection):
            return KeysAtStart(new_key=None, others=count)
        if not settings.is_loopback:
            raise _no_key(settings)
        key = generate_key()
        await add_key(connection, key, "", "first start")
        return KeysAtStart(new_key=key, others=0)
