"""The log writer and its leases, on real databases."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError

from humanloop_async.server.generation import log_writer
from humanloop_async.server.generation.log_writer import MAX_BATCH, MAX_PENDING, UNSTORABLE, ClaimTaken, LogWriter
from humanloop_async.server.ids import new_id
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.errors import is_unreachable
from humanloop_async.server.storage.idempotency import Claim, Outcome, previous_call
from humanloop_async.server.storage.logs import LogResult, NewLog
from humanloop_async.server.storage.projects import add_project, project_by_name
from tests.server.served import on_both_databases, read_only, rows

pytestmark = on_both_databases


@pytest.fixture
async def project_id(database: Database) -> str:
    async with database.write() as connection:
        await add_project(connection, "p")
        project = await project_by_name(connection, "p")
    assert project is not None
    return project.id


def _log(writer: LogWriter, project_id: str, **fields: Any) -> NewLog:
    known: dict[str, Any] = {"config_id": None, "session_id": None, "parent_id": None, "save": True}
    return NewLog(**{"id": new_id("data"), "project_id": project_id, "owner": writer.owner, **known, **fields})


def _statuses(address: str) -> list[str]:
    return [row["status"] for row in rows(address, "SELECT status FROM logs ORDER BY created_at")]


async def test_writes_of_many_calls_share_their_commits(
    database: Database, project_id: str, database_address: str
) -> None:
    commits: list[object] = []
    event.listen(database.writers.engine.sync_engine, "commit", commits.append)
    async with LogWriter(database) as writer:

        async def call() -> None:
            log = _log(writer, project_id)
            await (await writer.begin([log]))
            await writer.finish([LogResult(id=log.id, status="complete", output="x")])

        await asyncio.gather(*(call() for _ in range(300)))
    assert _statuses(database_address) == ["complete"] * 300
    assert len(commits) < 30


async def test_the_queue_is_written_on_exit(database: Database, project_id: str, database_address: str) -> None:
    async with LogWriter(database) as writer:
        log = _log(writer, project_id)
        await writer.begin([log])
        writer.finish([LogResult(id=log.id, status="cancelled")])
    assert _statuses(database_address) == ["cancelled"]


async def test_a_bad_row_fails_alone_and_its_content_stays_out_of_the_program_log(
    database: Database, project_id: str, database_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with LogWriter(database) as writer:
        good, bad, late = [
            await writer.begin([_log(writer, project, inputs={"name": "unspeakable"})])
            for project in (project_id, "pr_unknown", project_id)
        ]
        await good
        await late
        with pytest.raises(IntegrityError):
            await bad
    assert "could not store a log" in caplog.text
    assert "unspeakable" not in caplog.text
    assert _statuses(database_address) == ["running"] * 2


async def test_new_calls_wait_while_the_queue_is_full(database: Database, project_id: str) -> None:
    async with LogWriter(database) as writer:
        async with database.write():  # blocks the writer
            # One batch is being written, and the queue behind it is full.
            begun = [await writer.begin([_log(writer, project_id)]) for _ in range(MAX_BATCH + MAX_PENDING)]
            waiting = asyncio.ensure_future(writer.begin([_log(writer, project_id)]))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await (await waiting)
        await asyncio.wait(begun)
        assert all(future.exception() is None for future in begun)


@pytest.fixture
async def impatient(database: Database, database_address: str) -> AsyncGenerator[Database]:
    """A database that does not wait for other writers, with up-to-date tables."""
    impatient = await Database.open(database_address, migrate=False, busy_timeout=0)
    yield impatient
    await impatient.aclose()


def _claim(writer: LogWriter) -> Claim:
    return Claim(id="c", fingerprint="f", owner=writer.owner, expires_at=datetime.now(UTC) + timedelta(hours=1))


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - the database sends no notification
            await asyncio.sleep(0.02)


async def test_results_are_buffered_while_the_database_is_unreachable(
    impatient: Database, project_id: str, database_address: str
) -> None:
    async with LogWriter(impatient) as writer:
        claim = _claim(writer)
        log = _log(writer, project_id)
        await (await writer.begin([log], claim))
        with read_only(database_address):
            ended = writer.finish(
                [LogResult(id=log.id, status="complete", output="x", prompt_tokens=7)],
                Outcome(claim=claim, status=200, body=b"answer"),
            )
            begun = await writer.begin([_log(writer, project_id)])
            for future in (ended, begun):  # they fail at once
                with pytest.raises(DBAPIError) as caught:
                    await future
                assert is_unreachable(caught.value)
            assert _statuses(database_address) == ["running"]
        await _until(lambda: _statuses(database_address) == ["complete"])
    (row,) = rows(database_address, "SELECT output, prompt_tokens FROM logs")
    assert row == {"output": "x", "prompt_tokens": 7}
    assert rows(database_address, "SELECT status, body FROM idempotency") == [{"status": 200, "body": b"answer"}]


async def test_a_result_that_cannot_be_stored_still_ends_its_log(
    database: Database, project_id: str, database_address: str
) -> None:
    """A repetition runs the call, instead of waiting for an outcome that is lost."""
    async with LogWriter(database) as writer:
        claim = _claim(writer)
        log, other = _log(writer, project_id), _log(writer, project_id)
        await (await writer.begin([log, other], claim))
        bad = LogResult(id=log.id, status="complete", output="x", prompt_tokens=2**63)
        ended = writer.finish([bad], Outcome(claim=claim, status=200, body=b"answer"))
        good = writer.finish([LogResult(id=other.id, status="complete")])
        with pytest.raises((OverflowError, DBAPIError)):
            await ended
        await good
    found = rows(database_address, "SELECT status, error, owner FROM logs ORDER BY status")
    assert found == [
        {"status": "complete", "error": None, "owner": None},
        {"status": "error", "error": UNSTORABLE, "owner": None},
    ]
    assert rows(database_address, "SELECT status FROM idempotency") == []


async def test_the_writer_closes_while_the_database_is_unreachable(
    impatient: Database,
    project_id: str,
    database_address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The number of lost results is logged."""
    monkeypatch.setattr(log_writer, "CLOSE_TIMEOUT", 0.3)
    with ExitStack() as stack:
        async with asyncio.timeout(10), LogWriter(impatient) as writer:
            log = _log(writer, project_id)
            await (await writer.begin([log]))
            stack.enter_context(read_only(database_address))
            writer.finish([LogResult(id=log.id, status="complete", output="x")])
    assert "lost the results of 1 logs" in caplog.text
    assert _statuses(database_address) == ["running"]


async def test_the_writer_closes_if_its_lease_cannot_be_ended(
    impatient: Database, database_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        async with LogWriter(impatient):
            stack.enter_context(read_only(database_address))
    assert "could not end the server's lease" in caplog.text


_DIES = """
import asyncio, sys
from humanloop_async.server.generation.log_writer import LogWriter
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.idempotency import Claim, Outcome, previous_call
from humanloop_async.server.storage.logs import NewLog

async def main():
    async with LogWriter(await Database.open(sys.argv[1]), lease=0.3) as writer:
        await (await writer.begin([NewLog(id="data_1", project_id=sys.argv[2], config_id=None, session_id=None,
                                          parent_id=None, owner=writer.owner, save=True, inputs={"a": 1})]))
        print("begun", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_logs_of_a_killed_server_are_marked_interrupted_and_those_of_living_ones_are_not(
    database: Database, project_id: str, database_address: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _DIES, database_address, project_id, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    async with LogWriter(database, lease=0.3) as writer:
        await (await writer.begin([_log(writer, project_id)]))
        await asyncio.sleep(1)  # three leases: both processes are alive and renew theirs
        assert _statuses(database_address) == ["running", "running"]
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
        deadline = time.monotonic() + 3
        while _statuses(database_address) != ["interrupted", "running"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    (row,) = rows(database_address, "SELECT inputs, owner FROM logs WHERE id = 'data_1'")
    assert row == {"inputs": '{"a":1}', "owner": None}
    assert rows(database_address, "SELECT id FROM servers") == []


async def test_a_repetition_cancelled_before_its_claim_was_rejected_releases_no_claim(database: Database) -> None:
    """Both were queued before either claim was stored, by the same server."""
    async with LogWriter(database) as writer:
        now = datetime.now(UTC)
        claims = [
            Claim(id="c", fingerprint="f", owner=writer.owner, expires_at=now + timedelta(hours=1, microseconds=number))
            for number in range(2)
        ]
        first, second = [await writer.begin([], claim) for claim in claims]
        ended = writer.finish([], Outcome(claim=claims[1], status=None))
        await first
        with pytest.raises(ClaimTaken):
            await second
        await ended
        await writer.finish([], Outcome(claim=claims[0], status=200, body=b"first"))
    async with database.read() as connection:
        earlier = await previous_call(connection, "c")
    assert earlier is not None
    assert (earlier.status, earlier.body) == (200, b"first")
