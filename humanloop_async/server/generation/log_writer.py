"""Logs on their way to the database: many calls write, one task commits.

While one transaction is on its way to the disk, the rows that arrive wait together for the next (group commit), so
that the cost of a commit is shared by all the calls that end in the meantime, and no stream waits for another's.

While the database is away the calls that begin fail. How others ended is kept and written when it is back: what they
produced is theirs, and a claim without an outcome would let its repetitions wait for as long as this server lives.
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
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from ..storage.database import Database, retry_transaction
from ..storage.errors import first_line, is_unreachable
from ..storage.idempotency import Claim, Outcome, insert_claims, store_outcomes
from ..storage.log_counts import count_logs
from ..storage.logs import LogResult, NewLog, finish_logs, insert_logs
from ..storage.servers import dead_owners, end_lease, mark_interrupted, renew_lease

MAX_PENDING = 10_000
"""Entries that may wait for the database before new calls wait too."""

MAX_BATCH = 1_000
"""Entries of one transaction."""

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""Seconds between two tries to reach the database."""

CLOSE_TIMEOUT = 10.0
"""Seconds in which what is left has to be written when the server stops."""

UNSTORABLE = "what was generated could not be stored"

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
    is_less: bool = False

    @property
    def is_end(self) -> bool:
        return bool(self.results) or self.outcome is not None

    def fail(self, exc: Exception) -> None:
        """Tell who waits."""
        if not self.committed.done():
            self.committed.set_exception(exc)
            self.committed.exception()  # counts as seen: its call may be gone by now

    def less(self) -> _Entry | None:
        """Of an end that cannot be stored: that it has come; or else only that its call may be made again."""
        outcome = None if self.outcome is None else Outcome(claim=self.outcome.claim, status=None)
        if self.is_less:
            return _Entry((), (), None, outcome, self.committed, is_less=True) if self.results and outcome else None
        results = [LogResult(id=result.id, status="error", error=UNSTORABLE) for result in self.results]
        return _Entry((), results, None, outcome, self.committed, is_less=True)


class LogWriter:
    """Writes logs in the order given. Used as an async context manager, which writes what is left on leaving, if the
    database takes it within `CLOSE_TIMEOUT`.

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
        self._away = False  # the database, at the last try
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._mark_interrupted()
        self._tasks = (asyncio.create_task(self._write()), asyncio.create_task(self._watch()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        self._arrived.set()
        closing = asyncio.create_task(self._close())
        # The first cancellation tries to close a connection in good order, which waits for its statement.
        for timeout in (CLOSE_TIMEOUT, 1, 1):
            late = (await asyncio.wait([closing, *self._tasks], timeout=timeout))[1]
            for task in late:
                task.cancel()
        if lost := sum(len(entry.results) for entry in self._pending):
            logger.error("the ends of %s logs are lost: the database did not take them in time", lost)

    async def _close(self) -> None:
        await asyncio.wait(self._tasks)
        try:
            async with self._database.write() as connection:
                await end_lease(connection, self.owner)
        except Exception as exc:  # noqa: BLE001 - it runs out by itself
            logger.error("the server's lease could not be ended: %s", first_line(exc))

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
        pause = FIRST_PAUSE
        while self._pending or not self._closing.is_set():
            await self._arrived.wait()
            self._arrived.clear()
            while batch := self._pending[:MAX_BATCH]:
                del self._pending[:MAX_BATCH]
                if len(self._pending) < MAX_PENDING:
                    self._has_room.set()
                kept = batch
                try:
                    kept = await self._commit(batch)
                finally:
                    self._pending[:0] = kept
                if not kept:
                    pause = FIRST_PAUSE
                    continue
                if len(self._pending) >= MAX_PENDING:
                    self._has_room.clear()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)

    async def _commit(self, batch: list[_Entry]) -> list[_Entry]:
        """Write entries; returns those to be tried again, because the database is away."""
        try:
            refused = await retry_transaction(partial(self._store, batch))
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with a row, the writer goes on
            if is_unreachable(exc):
                if not self._away:
                    logger.error("the database does not take logs: %s", first_line(exc))
                self._away = True
                for entry in batch:
                    entry.fail(exc)
                return [entry for entry in batch if entry.is_end]
            if len(batch) > 1:  # one bad row must not take the others with it
                return [kept for entry in batch for kept in await self._commit([entry])]
            return await self._give_up(batch[0], exc)
        self._away = False
        for entry in batch:
            if entry in refused:
                entry.fail(ClaimTaken())
            elif not entry.committed.done():
                entry.committed.set_result(None)
        return []

    async def _give_up(self, entry: _Entry, exc: Exception) -> list[_Entry]:
        logger.error("a log could not be stored: %s", exc)
        entry.fail(exc)
        less = entry.less() if entry.is_end else None
        return [] if less is None else await self._commit([less])

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
                    await store_outcomes(connection, outcomes)
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
            except Exception as exc:  # noqa: BLE001 - the next round comes
                logger.warning("cannot look for interrupted logs: %s", first_line(exc))

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
    taken = await insert_claims(connection, [claim for _, claim in entries])
    refused: list[_Entry] = []
    for entry, claim in entries:
        if claim.id in taken:
            taken.remove(claim.id)  # of two with the same id only the first has it
        else:
            refused.append(entry)
    return refused
