"""Logs on their way to the database: many calls write, one task commits.

While one transaction is on its way to the disk, the rows that arrive wait together for the next (group commit), so
that the cost of a commit is shared by all the calls that end in the meantime, and no stream waits for another's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from .ids import new_id
from .storage.database import Database, retried
from .storage.idempotency import Claim, Outcome, settle, take
from .storage.log_counts import count_logs
from .storage.logs import (
    LogResult,
    NewLog,
    dead_owners,
    end_lease,
    finish_logs,
    insert_logs,
    mark_interrupted,
    renew_lease,
)

MAX_PENDING = 10_000
"""Entries that may wait for the database before new calls wait too."""

MAX_BATCH = 1_000
"""Entries of one transaction."""

logger = logging.getLogger(__name__)

_NEVER = datetime.min.replace(tzinfo=UTC)


class ClaimTaken(Exception):
    """Somebody else makes the call, or has made it; none of its logs was stored."""


class _Entry(Struct, eq=False):
    """Rows that are committed together, and who waits for that."""

    new: Sequence[NewLog]
    results: Sequence[LogResult]
    claim: Claim | None
    outcome: Outcome | None
    committed: asyncio.Future[None]


class LogWriter:
    """Writes logs in the order given. Used as an async context manager, which writes what is left on leaving.

    It also keeps this server's lease, and marks the running logs of servers whose lease ran out as interrupted: of
    those that died, since one that stops ends its logs itself.

    Args:
        lease: Seconds after its last sign of life for which a server counts as alive.
    """

    def __init__(self, database: Database, lease: float = 15) -> None:
        self.owner = new_id("srv")
        self._database = database
        self._pending: list[_Entry] = []
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._lease = timedelta(seconds=lease)
        self._lease_renewed = _NEVER
        self._running = 0  # logs and claims that have begun and not ended
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._mark_interrupted()
        self._tasks = (asyncio.create_task(self._write()), asyncio.create_task(self._watch()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        self._arrived.set()
        await asyncio.gather(*self._tasks)
        async with self._database.write() as connection:
            await end_lease(connection, self.owner)

    async def begin(self, rows: Sequence[NewLog], claim: Claim | None = None) -> asyncio.Future[None]:
        """Hand over the logs of a call that begins; waits while too many entries are pending.

        Returns:
            What resolves when they are durable, or raises `ClaimTaken` when the claim was not to be had.
        """
        await self._has_room.wait()
        if claim is not None:
            for row in rows:
                row.call_id = claim.id
        self._running += len(rows) + (claim is not None)
        return self._add(rows, (), claim, None)

    def finish(self, results: Sequence[LogResult], outcome: Outcome | None = None) -> asyncio.Future[None]:
        """Hand over how logs ended, and with them the call. Never waits: there are no more ends than beginnings.

        Returns:
            What resolves when it is durable.
        """
        self._running -= len(results) + (outcome is not None)
        return self._add((), results, None, outcome)

    def refused(self, rows: Sequence[NewLog]) -> None:
        """A call heard that its claim is taken: it has ended, and so have its logs, which are not stored."""
        self._running -= len(rows) + 1

    def give_back(self, outcome: Outcome) -> None:
        """Let others have a claim whose outcome was handed over and could not be stored."""
        self._add((), (), None, outcome)

    def _add(
        self, new: Sequence[NewLog], results: Sequence[LogResult], claim: Claim | None, outcome: Outcome | None
    ) -> asyncio.Future[None]:
        entry = _Entry(new, results, claim, outcome, asyncio.get_running_loop().create_future())
        self._pending.append(entry)
        self._arrived.set()
        if len(self._pending) >= MAX_PENDING:
            self._has_room.clear()
        return entry.committed

    async def _write(self) -> None:
        while self._pending or not self._closing.is_set():
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._pending[:MAX_BATCH]:
                del self._pending[:MAX_BATCH]
                if len(self._pending) < MAX_PENDING:
                    self._has_room.set()
                await self._commit(batch)

    async def _commit(self, batch: Sequence[_Entry]) -> None:
        try:
            refused = await retried(partial(self._store, batch))
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with a row, the writer goes on
            if len(batch) > 1:  # one bad row must not take the others with it
                for entry in batch:
                    await self._commit([entry])
                return
            batch[0].committed.set_exception(exc)
            batch[0].committed.exception()  # counts as seen: its call may be gone by now
            logger.error("a log could not be stored: %s", exc)
        else:
            for entry in batch:
                if entry in refused:
                    entry.committed.set_exception(ClaimTaken())
                    entry.committed.exception()
                else:
                    entry.committed.set_result(None)

    async def _store(self, batch: Sequence[_Entry]) -> Sequence[_Entry]:
        """Write entries in one transaction; returns those whose claims could not be had."""
        try:
            async with self._database.write() as connection:
                await self._renew(connection)
                refused = await _take_claims(connection, batch)
                if new := [row for entry in batch if entry not in refused for row in entry.new]:
                    await insert_logs(connection, new)
                if results := [row for entry in batch for row in entry.results]:
                    await finish_logs(connection, results)
                if outcomes := [entry.outcome for entry in batch if entry.outcome is not None]:
                    await settle(connection, outcomes)
                await count_logs(connection, [(row.project_id, row.created_at) for row in new])
        except BaseException:
            self._lease_renewed = _NEVER  # undone with the rest
            raise
        return refused

    async def _watch(self) -> None:
        """Renew this server's lease, and look for logs of servers that died, as long as it runs."""
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lease.total_seconds() / 3):
                    await self._closing.wait()
            try:
                if self._running:  # an idle server needs no lease, and writes nothing
                    async with self._database.write() as connection:
                        await self._renew(connection)
                await self._mark_interrupted()
            except (SQLAlchemyError, OSError) as exc:
                logger.warning("cannot look for interrupted logs: %s", exc)

    async def _renew(self, connection: AsyncConnection) -> None:
        now = datetime.now(UTC)
        if now - self._lease_renewed >= self._lease / 3:
            await renew_lease(connection, self.owner, now + self._lease)
            self._lease_renewed = now

    async def _mark_interrupted(self) -> None:
        async with self._database.read() as connection:
            dead = await dead_owners(connection)
        if dead:
            async with self._database.write() as connection:
                await mark_interrupted(connection, dead)


async def _take_claims(connection: AsyncConnection, batch: Sequence[_Entry]) -> list[_Entry]:
    """Take what can be had; returns the entries whose claims could not."""
    entries = [(entry, entry.claim) for entry in batch if entry.claim is not None]
    if not entries:
        return []
    taken = await take(connection, [claim for _, claim in entries])
    refused: list[_Entry] = []
    for entry, claim in entries:
        if claim.id in taken:
            taken.remove(claim.id)  # of two with the same id only the first has it
        else:
            refused.append(entry)
    return refused
