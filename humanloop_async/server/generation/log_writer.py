"""Write logs to the database: many calls produce them, one task commits them.

While one transaction is being committed, new rows collect for the next one (group commit). So the calls that finish at
the same time share the cost of a commit, and no stream waits for another one's transaction.

While the database is unreachable, new calls fail. Results of running calls are buffered and written once it is back;
otherwise output would be lost, and retries of an idempotent call would wait until this process exits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from ..storage.database import Database, retry_transaction
from ..storage.errors import first_line, is_unreachable
from ..storage.evaluation_steps import queue_active_evaluators
from ..storage.idempotency import Claim, Outcome, insert_claims, store_outcomes
from ..storage.log_counts import count_logs
from ..storage.logs import LogResult, NewLog, finish_logs, insert_logs
from ..storage.servers import dead_owners, end_lease, mark_interrupted, renew_lease

MAX_PENDING = 10_000
"""Most entries in the queue; while it is full, new calls wait."""

MAX_BATCH = 1_000
"""Most entries in one transaction."""

MIN_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Pause before an unreachable database is tried again, in seconds; it doubles from one try to the next."""

CLOSE_TIMEOUT = 10.0
"""Longest time to write the queue when the server stops, in seconds."""

UNSTORABLE = "the result of the generation could not be stored"
"""The error of a log whose result the database rejected."""

logger = logging.getLogger(__name__)

_NEVER = datetime.min.replace(tzinfo=UTC)


class ClaimTaken(Exception):
    """Another request holds this idempotency key; none of this call's logs were stored."""


class _Entry(Struct, eq=False):
    """Rows that are committed together, and the future that its callers wait for."""

    new: Sequence[NewLog]
    results: Sequence[LogResult]
    claim: Claim | None
    outcome: Outcome | None
    committed: asyncio.Future[None]
    is_degraded: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the entry ends logs or a call; it is kept while the database is unreachable."""
        return bool(self.results) or self.outcome is not None

    def fail(self, exc: Exception) -> None:
        """Raise `exc` in the callers that wait for the entry."""
        if not self.committed.done():
            self.committed.set_exception(exc)
            self.committed.exception()  # marks it as retrieved: there may be no caller any more

    def degraded(self) -> _Entry | None:
        """Return a smaller entry for a result that cannot be stored, or None if there is none.

        The first one has only the final status of the logs, the second one only releases the claim.
        """
        outcome = None if self.outcome is None else Outcome(claim=self.outcome.claim, status=None)
        if self.is_degraded:
            return _Entry((), (), None, outcome, self.committed, is_degraded=True) if self.results and outcome else None
        results = [LogResult(id=result.id, status="error", error=UNSTORABLE) for result in self.results]
        return _Entry((), results, None, outcome, self.committed, is_degraded=True)


class LogWriter:
    """Writes logs in the order in which it gets them.

    An async context manager: on exit it writes the queue, if the database accepts it within `CLOSE_TIMEOUT`.

    It also renews this process's lease while calls or steps of evaluations run. It marks the running logs of processes
    whose lease expired as interrupted, and makes their steps pending. Those processes died: one that stops regularly
    finishes its logs.

    Args:
        lease: Seconds for which a process counts as alive after it renewed its lease.
    """

    def __init__(self, database: Database, lease: float = 15) -> None:
        self.owner = new_id("srv")
        self._database = database
        self._pending: list[_Entry] = []
        self._has_work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._lease = timedelta(seconds=lease)
        self._lease_renewed = _NEVER
        self._running = 0  # logs and claims that have begun and not ended
        self._closing = asyncio.Event()

    @property
    def backlog(self) -> int:
        """Number of entries that wait to be written."""
        return len(self._pending)

    async def __aenter__(self) -> Self:
        await self._mark_interrupted()
        self._tasks = (asyncio.create_task(self._write()), asyncio.create_task(self._watch()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        self._has_work.set()
        closing = asyncio.create_task(self._close())
        # The first cancellation closes the connection cleanly, which waits for its statement; so there is a second.
        for timeout in (CLOSE_TIMEOUT, 1, 1):
            late = (await asyncio.wait([closing, *self._tasks], timeout=timeout))[1]
            for task in late:
                task.cancel()
        if lost := sum(len(entry.results) for entry in self._pending):
            logger.error(
                "lost the results of %s logs: the database did not accept them within %g s", lost, CLOSE_TIMEOUT
            )

    async def _close(self) -> None:
        await asyncio.wait(self._tasks)
        try:
            async with self._database.write() as connection:
                await end_lease(connection, self.owner)
        except Exception as exc:  # noqa: BLE001 - the lease expires anyway
            logger.error("could not end the server's lease: %s", first_line(exc))

    async def begin(self, rows: Sequence[NewLog], claim: Claim | None = None) -> asyncio.Future[None]:
        """Queue the logs of a call that begins; waits while the queue is full.

        Returns:
            A future that is done when the logs are durable. It raises `ClaimTaken` if another call has the claim.
        """
        await self._has_room.wait()
        if claim is not None:
            for row in rows:
                row.call_id = claim.id
        self._running += len(rows) + (claim is not None)
        return self._add(rows, (), claim, None)

    def finish(self, results: Sequence[LogResult], outcome: Outcome | None = None) -> asyncio.Future[None]:
        """Queue the results of logs, and with the last ones the outcome of the call.

        Never waits: there are at most as many results as logs that began.

        Returns:
            A future that is done when they are durable.
        """
        self._running -= len(results) + (outcome is not None)
        return self._add((), results, None, outcome)

    @contextmanager
    def holding_lease(self) -> Generator[None]:
        """Renew the lease inside the block also while no call runs."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @asynccontextmanager
    async def owning(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction that may store this process as an owner: it begins with the renewal of the lease."""
        try:
            async with self._database.write() as connection:
                await self._renew(connection)
                yield connection
        except BaseException:
            self._lease_renewed = _NEVER  # rolled back, too
            raise

    def discard(self, rows: Sequence[NewLog]) -> None:
        """Stop counting a call whose claim was taken as running; its logs were not stored."""
        self._running -= len(rows) + 1

    def _add(
        self, new: Sequence[NewLog], results: Sequence[LogResult], claim: Claim | None, outcome: Outcome | None
    ) -> asyncio.Future[None]:
        entry = _Entry(new, results, claim, outcome, asyncio.get_running_loop().create_future())
        self._pending.append(entry)
        self._has_work.set()
        if len(self._pending) >= MAX_PENDING:
            self._has_room.clear()
        return entry.committed

    async def _write(self) -> None:
        pause = MIN_PAUSE
        while self._pending or not self._closing.is_set():
            await self._has_work.wait()
            self._has_work.clear()
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
                    pause = MIN_PAUSE
                    continue
                if len(self._pending) >= MAX_PENDING:
                    self._has_room.clear()
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE)

    async def _commit(self, batch: list[_Entry]) -> list[_Entry]:
        """Write entries. Returns those to try again because the database is unreachable."""
        try:
            claims_taken = await retry_transaction(partial(self._store, batch))
        except Exception as exc:  # noqa: BLE001 - a bad row must not stop the writer
            if is_unreachable(exc):
                for entry in batch:
                    entry.fail(exc)
                return [entry for entry in batch if entry.is_final]
            if len(batch) > 1:  # find the bad row, and store the others
                return [kept for entry in batch for kept in await self._commit([entry])]
            return await self._commit_degraded(batch[0], exc)
        for entry in batch:
            if entry in claims_taken:
                entry.fail(ClaimTaken())
            elif not entry.committed.done():
                entry.committed.set_result(None)
        return []

    async def _commit_degraded(self, entry: _Entry, exc: Exception) -> list[_Entry]:
        logger.error("could not store a log: %s", exc)
        entry.fail(exc)
        degraded = entry.degraded() if entry.is_final else None
        return [] if degraded is None else await self._commit([degraded])

    async def _store(self, batch: Sequence[_Entry]) -> Sequence[_Entry]:
        """Write entries in one transaction. Returns those whose claims are taken, of which nothing was written."""
        async with self.owning() as connection:
            claims_taken = await _insert_claims(connection, batch)
            if new := [row for entry in batch if entry not in claims_taken for row in entry.new]:
                await insert_logs(connection, new)
            if results := [row for entry in batch for row in entry.results]:
                await finish_logs(connection, results)
                await queue_active_evaluators(connection, [row.id for row in results if row.status == "complete"])
            if outcomes := [entry.outcome for entry in batch if entry.outcome is not None]:
                await store_outcomes(connection, outcomes)
            await count_logs(connection, [(row.project_id, row.created_at) for row in new])
        return claims_taken

    async def _watch(self) -> None:
        """Renew the lease and mark the logs of dead processes, until the writer closes."""
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lease.total_seconds() / 3):
                    await self._closing.wait()
            try:
                if self._running:  # an idle server needs no lease, and does not write
                    async with self.owning():
                        pass
                await self._mark_interrupted()
            except Exception as exc:  # noqa: BLE001 - the next round tries again
                if not is_unreachable(exc):
                    logger.warning("cannot renew the lease or mark interrupted logs: %s", first_line(exc))

    async def renew_lease(self, connection: AsyncConnection) -> None:
        """Renew this process's lease, whatever is left of it: a small write, which shows whether writing works."""
        self._lease_renewed = _NEVER
        await self._renew(connection)

    async def _renew(self, connection: AsyncConnection) -> None:
        now = datetime.now(UTC)
        if now - self._lease_renewed >= self._lease / 3:
            await renew_lease(connection, self.owner, now + self._lease)
            self._lease_renewed = now

    async def _mark_interrupted(self) -> None:
        async with self._database.read() as connection:
            # Not this process: if it was too slow to renew its lease, it is alive all the same.
            dead = [owner for owner in await dead_owners(connection) if owner != self.owner]
        if dead:
            async with self._database.write() as connection:
                await mark_interrupted(connection, dead)


async def _insert_claims(connection: AsyncConnection, batch: Sequence[_Entry]) -> list[_Entry]:
    """Insert the claims of a batch. Returns the entries whose claims other calls have."""
    entries = [(entry, entry.claim) for entry in batch if entry.claim is not None]
    if not entries:
        return []
    inserted = await insert_claims(connection, [claim for _, claim in entries])
    taken: list[_Entry] = []
    for entry, claim in entries:
        if claim.id in inserted:
            inserted.remove(claim.id)  # of two entries with the same id only the first has the claim
        else:
            taken.append(entry)
    return taken
