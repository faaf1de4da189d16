"""Import logs, and the sessions that they belong to."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from sqlalchemy import bindparam, func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ChatMessage, Json
from ..storage.columns import replace_nul, to_utc, utc_now
from ..storage.log_contents import NOT_SHARED, stored_contents
from ..storage.log_counts import count_logs
from ..storage.logs import CONTENT
from ..storage.schema import log_contents, logs, sessions
from ..storage.search import folded
from ..storage.statements import dialect_insert
from .bulk import BulkInsert
from .files import Files
from .judgments import Judgments, PlacedJudgment
from .reading import Damaged, decode, lines
from .records import Log, LogColumns, Owners, Version
from .report import Report, place
from .target import Target

BATCH = 500
"""Logs in one transaction, which takes about 50 ms on SQLite. Other programs wait for it."""

LINES = 32
"""Lines that are decoded before the event loop may continue to store the batch before."""

BATCH_BYTES = 8 * 1024 * 1024
"""Size of the lines at which a batch ends early."""

MAX_DEPTH = 20
"""Most levels of logs inside logs."""

_logs = msgspec.json.Decoder(Log)
_owners = msgspec.json.Decoder(Owners)


class _NewLog(Struct):
    """A log of the current batch.

    Attributes:
        where: Its place in the export.
        row: Its columns.
        parent_id: The log that it belongs to.
        is_child: Whether it stands inside another log.
        is_own: Whether the log is from an export of this program, which has the times of its session.
    """

    where: str
    row: dict[str, Any]
    parent_id: str | None
    is_child: bool
    is_own: bool


class _Outcome(Struct):
    """The changes of a batch, for the report after the commit."""

    imported: int = 0
    present: int = 0
    children: int = 0
    sessions: int = 0
    links: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    skipped: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])


class Logs:
    """Imports logs in batches, and connects them with their parents at the end.

    While one batch is stored, on another thread or by PostgreSQL, the next one is decoded.

    A log may come before its parent, so that the links are written to a temporary file first.

    Args:
        target: The database.
        report: Counts the records.
        files: Finds the project and the configuration of a log.
        judgments: Imports the judgments in the logs; None to ignore them.
    """

    def __init__(self, target: Target, report: Report, files: Files, judgments: Judgments | None) -> None:
        self._target, self._report, self._files, self._judgments = target, report, files, judgments
        self._batch: list[_NewLog] = []
        self._bytes = 0
        self._storing: asyncio.Task[None] | None = None
        self._links = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - closed by `close`

    async def add_file(self, path: Path, read: Callable[[int], None]) -> None:
        """Import a file of logs.

        Args:
            path: A JSON lines file.
            read: Called with the number of bytes of each line.
        """
        for number, line in lines(path):
            where = place(path, number)
            self._report.found("logs")
            if isinstance(line, Damaged):
                self._report.skip("logs", where, "damaged", str(line))
                continue
            await self.add(line, where)
            read(len(line) + 1)
            if number % LINES == 0:
                await asyncio.sleep(0)

    async def add(self, raw: bytes, where: str, depth: int = 0) -> Log | None:
        """Import a log, which the report has counted as found.

        Returns:
            The log, which `flush` stores, or None if it is damaged.
        """
        try:
            log = decode(raw, _logs)
            new = await self._new_log(log, raw, where, depth)
        except Damaged as exc:
            if depth == 0:  # a log inside another one stands in another file, too
                self._report.skip("logs", where, "damaged", str(exc))
            return None
        self._batch.append(new)
        self._bytes += len(raw)
        if self._judgments is not None:
            for judgment in log.evaluator_logs or ():
                self._judgments.add(judgment, log.id, where)
        if len(self._batch) >= BATCH or self._bytes >= BATCH_BYTES:
            await self._begin_batch()
        if log.trace_children and depth < MAX_DEPTH:
            for child in log.trace_children:
                await self.add(bytes(child), where, depth + 1)
        return log

    async def _new_log(self, log: Log, raw: bytes, where: str, depth: int) -> _NewLog:
        owner = log.owner
        if owner is None:
            raise Damaged("the log belongs to no prompt, tool, flow or agent")

        def whole() -> Version | None:
            return decode(raw, _owners).owner

        config_id = await self._files.owner(owner.id, owner.version_id, whole)
        try:
            row = _row(log, owner.id, config_id)
        except (msgspec.MsgspecError, ValueError, OverflowError) as exc:
            raise Damaged(str(exc)) from exc
        if log.reasoning_tokens:
            self._report.lost["numbers of reasoning tokens"] += 1
        if log.batches:
            self._report.lost["batches of logs"] += 1
        parent_id = log.trace_parent_id if log.trace_parent_id != log.id else None
        return _NewLog(where=where, row=row, parent_id=parent_id, is_child=depth > 0, is_own=log.v4 is not None)

    async def flush(self) -> None:
        """Store the logs and judgments that were added."""
        await self._begin_batch()
        await self._end_batch()

    async def _begin_batch(self) -> None:
        """Begin to store the logs and judgments that were added, after those before."""
        await self._end_batch()
        batch, self._batch, self._bytes = self._batch, [], 0
        judgments = [] if self._judgments is None else self._judgments.take()
        self._storing = asyncio.create_task(self._store_batch(batch, judgments))

    async def _end_batch(self) -> None:
        if self._storing is not None:
            storing, self._storing = self._storing, None
            await storing

    async def _store_batch(self, batch: Sequence[_NewLog], judgments: Sequence[PlacedJudgment]) -> None:
        if batch:
            await self._store_logs(batch)
        if judgments and self._judgments is not None:
            await self._judgments.store(judgments)

    async def _store_logs(self, batch: Sequence[_NewLog]) -> None:
        try:
            outcome = await self._target.run(lambda connection: self._store(connection, batch))
        except IntegrityError as exc:
            # A server has deleted a project or a configuration since it was found. Find the logs that need it.
            if len(batch) == 1:
                reason = str(exc.orig).partition("\n")[0]
                self._report.skip("logs", batch[0].where, "it contradicts the database", reason)
                return
            middle = len(batch) // 2
            await self._store_logs(batch[:middle])
            await self._store_logs(batch[middle:])
        else:
            self._report.found("logs", outcome.children)
            self._report.imported("logs", outcome.imported)
            self._report.present("logs", outcome.present)
            if outcome.sessions:
                self._report.found("sessions", outcome.sessions)
                self._report.imported("sessions", outcome.sessions)
            for where, reason, detail in outcome.skipped:
                self._report.skip("logs", where, reason, detail)
            self._links.writelines(f"{child} {parent}\n" for child, parent in outcome.links)

    async def _store(self, connection: AsyncConnection, batch: Sequence[_NewLog]) -> _Outcome:
        outcome = _Outcome()
        ids = {new.row["id"] for new in batch} | {new.parent_id for new in batch if new.parent_id is not None}
        present = await self._target.present(connection, logs.c.id, ids, logs.c.project_id, logs.c.parent_id)
        references = {new.row["reference_id"] for new in batch} - {None}
        known_references = set(await self._target.present(connection, logs.c.reference_id, references))
        rows: dict[str, dict[str, Any]] = {}
        own: set[str] = set()
        for new in batch:
            id, project_id = new.row["id"], new.row["project_id"]
            stored = present.get(id)
            other = rows[id]["project_id"] if id in rows else stored.project_id if stored is not None else project_id
            if other != project_id:
                outcome.skipped.append((new.where, "the id belongs to another project", f"{id} in {other}"))
            elif id in present or id in rows:
                outcome.present += not new.is_child
                if new.parent_id is not None and stored is not None and stored.parent_id is None:
                    outcome.links.append((id, new.parent_id))
            elif new.row["reference_id"] in known_references:
                outcome.skipped.append((new.where, "its reference_id belongs to another log", new.row["reference_id"]))
            else:
                rows[id] = new.row
                own |= {id} if new.is_own else set()
                known_references |= {new.row["reference_id"]} - {None}
                outcome.imported += 1
                outcome.children += new.is_child
                if new.parent_id in present:
                    new.row["parent_id"] = new.parent_id
                elif new.parent_id is not None:
                    outcome.links.append((id, new.parent_id))
        if rows:
            outcome.sessions = await self._add_sessions(connection, rows, own)
            columns = [*rows.values()]
            if not self._target.dry_run:
                columns = await self._share_contents(connection, columns)
            await self._target.insert(connection, logs, columns, INSERT)
            if not self._target.dry_run:
                await count_logs(connection, [(row["project_id"], row["created_at"]) for row in rows.values()])
        return outcome

    async def _share_contents(self, connection: AsyncConnection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Store the contents that logs of this batch share; return the columns of the logs without them.

        A log of an edited export, whose contents differ from those with its `content_id`, keeps them.
        """
        ids = {row["content_id"] for row in rows} - {None}
        if not ids:
            return rows
        contents = await stored_contents(connection, ids)
        new: dict[str, dict[str, Any]] = {}
        own: list[dict[str, Any]] = []
        for row in rows:
            if (id := row["content_id"]) is None:
                own.append(row)
                continue
            content = {name: row[name] for name in CONTENTS.names if name != "id"} | {"id": id}
            if id not in contents:
                contents[id] = new[id] = content
            own.append(row | (NOT_SHARED if contents[id] == content else {"content_id": None}))
        await self._target.insert(connection, log_contents, [*new.values()], CONTENTS)
        return own

    async def _add_sessions(
        self, connection: AsyncConnection, rows: Mapping[str, dict[str, Any]], own: Collection[str]
    ) -> int:
        """Create the sessions of new logs, and extend those that exist to the times of the logs."""
        times: dict[str, list[Any]] = {}
        exact: set[str] = set()
        for id, row in rows.items():
            if (session_id := row["session_id"]) is not None:
                times.setdefault(session_id, []).extend((row["created_at"], row["updated_at"]))
                exact |= {session_id} if id in own else set()
        present = await self._target.present(connection, sessions.c.id, times)
        new = [
            {"id": id, "reference_id": None, "created_at": min(times[id]), "updated_at": max(times[id])}
            for id in sorted(times)  # sorted, so that two transactions cannot deadlock
            if id not in present or id not in exact
        ]
        if self._target.dry_run:
            await self._target.insert(connection, sessions, new)
        elif new:
            statement = dialect_insert(connection, sessions)
            least, most = (func.min, func.max) if connection.dialect.name == "sqlite" else (func.least, func.greatest)
            wider = {
                "created_at": least(sessions.c.created_at, statement.excluded.created_at),
                "updated_at": most(sessions.c.updated_at, statement.excluded.updated_at),
            }
            await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=wider), new)
        return len(times.keys() - present.keys())

    async def finish(self) -> None:
        """Store what is left, and connect logs with the parents that came after them."""
        await self.flush()
        self._links.seek(0)
        while pairs := [(child, parent) for child, parent in map(str.split, self._links.readlines(BATCH * 50))]:
            missing = await self._target.run(lambda connection, pairs=pairs: self._link(connection, pairs))  # type: ignore[misc]
            self._report.lost["links to parents that are not in the export"] += missing

    async def _link(self, connection: AsyncConnection, pairs: Sequence[tuple[str, str]]) -> int:
        parents = await self._target.present(connection, logs.c.id, {parent for _, parent in pairs})
        found = [{"child": child, "parent": parent} for child, parent in sorted(pairs) if parent in parents]
        if found and not self._target.dry_run:
            await connection.execute(_set_parent, found)
        return len(pairs) - len(found)

    async def aclose(self) -> None:
        """Abandon a batch that is being stored, after an error, and remove the temporary file."""
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.wait([self._storing])
        self._links.close()


_set_parent = (
    update(logs)
    .where(logs.c.id == bindparam("child"), logs.c.parent_id.is_(None))
    .values(parent_id=bindparam("parent"))
)
_EMPTY = LogColumns()
_NO_CONTENT = dict.fromkeys({*CONTENT}.intersection(Log.__struct_fields__))


def _row(log: Log, project_id: str, config_id: str | None) -> dict[str, Any]:
    """Return the columns of a log; JSON is encoded already, so that a value that cannot be encoded fails here."""
    if log.save is False:  # it must not have contents
        log = msgspec.structs.replace(log, **_NO_CONTENT)
    extra = log.v4 or _EMPTY
    created_at = to_utc(log.created_at or log.start_time or log.end_time or utc_now())
    ended_at = created_at if log.end_time is None else to_utc(log.end_time)
    inputs, inputs_folded = _json(log.inputs)
    metadata, metadata_folded = _json(log.metadata)
    output = replace_nul(log.output)
    follows = ChatMessage(role="assistant", content=log.output if extra.raw_output is None else extra.raw_output)
    implied = log.messages is not None and log.output_message == follows
    return {
        "id": log.id,
        "project_id": project_id,
        "config_id": extra.config_id or config_id,
        "session_id": extra.session_id or log.trace_id,
        "parent_id": None,
        "reference_id": replace_nul(extra.reference_id),
        "trial_id": extra.trial_id,
        "request_id": extra.request_id,
        "content_id": extra.content_id,
        "status": extra.status or ("complete" if log.error is None else "error"),
        "save": log.save is not False,
        "inputs": inputs,
        "messages": _json(log.messages)[0],
        "output": output,
        "raw_output": extra.raw_output,
        "output_message": None if implied else _json(log.output_message)[0],
        "reasoning": extra.reasoning,
        "provider_request": _json(log.provider_request)[0],
        "provider_response": _json(extra.provider_response if log.provider_response is None else log.provider_response)[
            0
        ],
        "finish_reason": log.finish_reason,
        "error": log.error,
        "source": log.source,
        "source_datapoint_id": log.source_datapoint_id,
        "environment": log.environment,
        "user": log.user,
        "metadata": metadata,
        "inputs_folded": inputs_folded,
        "output_folded": folded(output),
        "metadata_folded": metadata_folded,
        "tool_choice": _json(log.tool_choice)[0],
        "tools": _json(extra.tools)[0],
        "judgment": _json(extra.judgment)[0],
        "stdout": log.stdout,
        "prompt_cost": log.prompt_cost,
        "output_cost": log.output_cost,
        "prompt_tokens": log.prompt_tokens,
        "output_tokens": log.output_tokens,
        "duration": extra.duration if log.v4 is not None else _seconds(log),
        "provider_latency": log.provider_latency,
        "created_at": created_at,
        "updated_at": to_utc(extra.updated_at) if extra.updated_at else max(created_at, ended_at),
    }


def _seconds(log: Log) -> float | None:
    if log.start_time is None or log.end_time is None:
        return None
    return (to_utc(log.end_time) - to_utc(log.start_time)) / timedelta(seconds=1)


def _json(value: Json | Struct | list[ChatMessage]) -> tuple[str | None, str | None]:
    """Return a value as JSON, and the copy of it for searches, which ASCII text does not need."""
    if value is None:
        return None, None
    encoded = msgspec.json.encode(value).decode()
    return encoded, folded(encoded)


CONTENTS = BulkInsert(log_contents, [column.name for column in log_contents.columns])
INSERT = BulkInsert(logs, _row(Log(id="log", created_at=utc_now()), "pr", None))
