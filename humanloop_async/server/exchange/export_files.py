"""Export projects, datasets and evaluators as files of v5."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Row, Select, and_, func, literal, or_, select, tuple_

from ...types import FeedbackClass, FeedbackTypeModel
from ..storage.columns import JsonText, UtcTime
from ..storage.configs import OtherConfig
from ..storage.database import Database
from ..storage.feedback_types import feedback_classes, feedback_types_of
from ..storage.log_contents import shown_columns, with_contents
from ..storage.model_config import ModelConfig
from ..storage.schema import (
    datapoints,
    datasets,
    deployments,
    environments,
    evaluation_datapoints,
    evaluation_evaluators,
    evaluation_results,
    evaluations,
    evaluator_versions,
    evaluators,
    feedback,
    logs,
    model_configs,
    projects,
)
from . import v5
from .records import LogColumns
from .versions import type_of

PAGE = 1000
"""Logs that one statement reads, and that one file holds."""

_JSON = [column.name for column in logs.columns if isinstance(column.type, JsonText)]
_logs = select(*shown_columns()).select_from(with_contents)
_EXTRA = LogColumns.__struct_fields__
_VALENCES = {"positive", "negative", "neutral"}


class Exporter:
    """Reads the database and writes the folder ``files``. It keeps the records that others contain.

    Args:
        database: The database.
        folder: The folder, which exists.
        progress: Called with the number of logs that have been written.
    """

    def __init__(self, database: Database, folder: Path, progress: Callable[[int], None]) -> None:
        self._database, self._folder, self._progress = database, folder, progress
        self.written = 0
        self.environments: dict[str, v5.Record] = {}
        self.evaluators: dict[str, msgspec.Raw] = {}  # by the id of the version

    async def write(self) -> int:
        """Write all files, and return the number of logs."""
        rows = await self.all(select(environments).order_by(environments.c.created_at, environments.c.id))
        for number, row in enumerate(rows):
            record = {"id": row.id, "name": row.name, "created_at": v5.time(row.created_at)}
            self.environments[row.id] = record | {"tag": "other" if number else "default"}
        await self._write_evaluators()
        for row in await self.all(select(datasets).where(datasets.c.deleted_at.is_(None)).order_by(datasets.c.id)):
            await self._write_dataset(row)
        for row in await self.all(select(projects).order_by(projects.c.id)):
            await _Project(self, row).write()
        return self.written

    async def all(self, query: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return all rows of a query."""
        async with self._database.read() as connection:
            return (await connection.execute(query)).all()

    def count(self, number: int) -> None:
        """Report written logs."""
        self.written += number
        self._progress(self.written)

    async def kinds_of(self, project_id: str) -> list[tuple[FeedbackTypeModel, FeedbackClass]]:
        """Return the types of feedback of a project, with their labels and classes."""
        async with self._database.read() as connection:
            classes = (await feedback_classes(connection, [project_id]))[project_id]
            return [
                (kind, classes[kind.type]) for kind in (await feedback_types_of(connection, [project_id]))[project_id]
            ]

    def folder(self, id: str) -> Path:
        """Create the folder of a file."""
        folder = self._folder / id
        folder.mkdir(parents=True)
        return folder

    async def _write_evaluators(self) -> None:
        query = select(
            evaluators,
            *(evaluator_versions.c[name] for name in ("arguments_type", "return_type", "code", "options", "number")),
            evaluator_versions.c.id.label("version_id"),
            evaluator_versions.c.created_at.label("version_created_at"),
            model_configs.c.parameters,
        ).join_from(evaluators, evaluator_versions, evaluator_versions.c.evaluator_id == evaluators.c.id)
        query = query.outerjoin(model_configs, model_configs.c.id == evaluator_versions.c.config_id)
        for row in await self.all(query.order_by(evaluators.c.id, evaluator_versions.c.number)):
            file = v5.File(
                id=row.id,
                path=row.name,
                type="evaluator",
                description=row.description,
                created_at=row.created_at,
                updated_at=row.updated_at,
            )
            config = None if row.parameters is None else msgspec.convert(row.parameters, ModelConfig)
            record = v5.with_logs(v5.head(file, row.version_id, row.version_created_at), file)
            record["spec"] = v5.evaluator_spec(row._mapping, config)
            raw = self.evaluators[row.version_id] = msgspec.Raw(msgspec.json.encode(record))
            if row.deleted_at is not None:
                continue
            folder = self._folder / row.id
            write_json(folder / "versions" / row.version_id, raw)
            write_json(folder / "file.json", raw)  # the newest version is the last one
            write_json(folder / "deployments.json", [])
            finish(folder)

    async def dataset_version(self, dataset_id: str, number: int) -> v5.Record:
        """Return a version of a dataset."""
        query = select(datasets, projects.c.name.label("project")).join(
            projects, projects.c.id == datasets.c.project_id
        )
        (row,) = await self.all(query.where(datasets.c.id == dataset_id))
        changed = select(
            func.count().filter(_in_version(number)),
            func.max(datapoints.c.updated_at).filter(datapoints.c.version <= number),
        ).where(datapoints.c.dataset_id == dataset_id)
        ((count, changed_at),) = await self.all(changed)
        file = v5.File(
            id=row.id,
            path=f"{row.project}/{row.name}",
            type="dataset",
            description=row.description,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        # The number is a part of the id, so that versions of one moment have an order.
        version_id = f"dsv_{row.id.partition('_')[2] or row.id}_{number:06}"
        return v5.head(file, version_id, changed_at or row.created_at) | {"datapoints_count": count}

    async def _write_dataset(self, row: Row[*tuple[Any, ...]]) -> None:
        """Write the current version of a dataset, and those that evaluations use; ``tables`` has all of them."""
        folder = self.folder(row.id)
        used = await self.all(
            select(evaluations.c.dataset_version).where(evaluations.c.dataset_id == row.id).distinct()
        )
        record: v5.Record = {}
        for number in sorted({row.version, *(use.dataset_version for use in used)}):
            record = await self.dataset_version(row.id, number)
            write_json(folder / "versions" / record["version_id"], record)
            await self._write_datapoints(folder / "datapoints" / record["version_id"], row.id, number)
        write_json(folder / "file.json", record)
        write_json(folder / "deployments.json", [])
        finish(folder)

    async def _write_datapoints(self, folder: Path, dataset_id: str, version: int) -> None:
        column, last, number = datapoints.c, -1, 0
        while True:
            query = select(datapoints).where(column.dataset_id == dataset_id, _in_version(version))
            # Two datapoints of a dataset never have the same position in one version.
            rows = await self.all(query.where(column.position > last).order_by(column.position).limit(PAGE))
            if not rows:
                return
            number, last = number + 1, rows[-1].position
            write_lines(folder / f"{number}.jsonl", (v5.datapoint(row._mapping) for row in rows))


class _Project:
    """Writes a project as a prompt, or as the tool, flow or agent that it was imported from."""

    def __init__(self, exporter: Exporter, row: Row[*tuple[Any, ...]]) -> None:
        self._exporter, self._row = exporter, row
        self._kind: Literal["prompt", "tool", "flow", "agent"]
        match type_of(row.id, None):
            case "tool" | "flow" | "agent" as kind:
                self._kind = kind
            case _:
                self._kind = "prompt"
        self._versions: dict[str, msgspec.Raw] = {}
        self._people: dict[str, msgspec.Raw] = {}  # human evaluators by kind of feedback

    async def write(self) -> None:
        id, exporter = self._row.id, self._exporter
        folder = exporter.folder(id)
        deployed = await exporter.all(select(deployments).where(deployments.c.project_id == id))
        newest = await self._write_versions(folder, deployed)
        write_json(folder / "file.json", newest)
        if len(self._versions) > 1:
            entries = [
                {
                    "version_id": row.config_id,
                    "environment_id": row.environment_id,
                    "environment_name": exporter.environments[row.environment_id]["name"],
                    "environment_tag": exporter.environments[row.environment_id]["tag"],
                }
                for row in deployed
                if row.config_id is not None
            ]
            write_json(folder / "deployments.json", entries)
        await self._collect_people()
        number = 0
        async for page in self._logs(logs.c.project_id == id):
            number += 1
            write_lines(folder / "logs" / f"{number}.jsonl", page)
            exporter.count(len(page))
        for row in await exporter.all(select(evaluations).where(evaluations.c.project_id == id)):
            await self._write_evaluation(folder / "evaluations" / row.id, row)
        finish(folder)

    async def _write_versions(self, folder: Path, deployed: Sequence[Row[*tuple[Any, ...]]]) -> msgspec.Raw:
        """Write the configurations, oldest first; return the record of the newest one."""
        id, exporter = self._row.id, self._exporter
        uses = select(logs.c.config_id, func.count()).where(logs.c.project_id == id).group_by(logs.c.config_id)
        numbers: dict[str | None, int] = {row[0]: row[1] for row in await exporter.all(uses)}
        file = v5.File(
            id=id,
            path=self._row.name,
            type=self._kind,
            directory_id=self._row.directory_id,
            created_at=self._row.created_at,
            updated_at=self._row.updated_at,
            logs=sum(numbers.values()),
        )
        configs = select(model_configs).where(model_configs.c.project_id == id)
        newest = v5.config_version(v5.with_logs(v5.head(file, "", file.created_at), file), None)
        # The version of logs whose configuration was deleted, or belongs to another project.
        self._versions[""] = msgspec.Raw(msgspec.json.encode(newest))
        for row in await exporter.all(configs.order_by(model_configs.c.created_at, model_configs.c.id)):
            at = [exporter.environments[item.environment_id] for item in deployed if item.config_id == row.id]
            common = v5.with_logs(v5.head(file, row.id, row.created_at, at), file, numbers.get(row.id, 0))
            common |= {"version_name": row.name, "version_description": row.description}
            config = msgspec.convert(row.parameters, ModelConfig if row.type == "model" else OtherConfig)
            newest = v5.config_version(common, config)
            self._versions[row.id] = write_json(folder / "versions" / row.id, newest)
        return msgspec.Raw(msgspec.json.encode(newest))

    async def _collect_people(self) -> None:
        """Build an evaluator for each kind of feedback."""
        for kind, feedback_class in await self._exporter.kinds_of(self._row.id):
            # The same id in every project and every export.
            digest = hashlib.sha256(f"feedback {kind.type}".encode()).hexdigest()[:21]
            file = v5.File(
                id=f"ev_{digest}",
                path=kind.type,
                type="evaluator",
                created_at=self._row.created_at,
                updated_at=self._row.created_at,
            )
            record = v5.with_logs(v5.head(file, f"evv_{digest}", file.created_at), file)
            options = [
                {"name": label.value, "valence": label.sentiment if label.sentiment in _VALENCES else None}
                for label in kind.values or ()
            ]
            record["spec"] = {
                "arguments_type": "target_free",
                "return_type": feedback_class,
                "evaluator_type": "human",
                "options": options or None,
            }
            self._people[kind.type] = msgspec.Raw(msgspec.json.encode(record))

    async def _logs(self, condition: ColumnElement[bool]) -> AsyncIterator[list[v5.Record]]:
        """Yield pages of logs, newest first."""
        last: Row[*tuple[Any, ...]] | None = None
        order = logs.c.created_at, logs.c.id
        while True:
            query = _logs.where(condition, logs.c.status != "running")
            if last is not None:
                query = query.where(tuple_(*order) < tuple_(literal(last.created_at, UtcTime()), last.id))
            rows = await self._exporter.all(query.order_by(*(column.desc() for column in order)).limit(PAGE))
            if rows:
                yield await self._records(rows)
            if len(rows) < PAGE:
                return
            last = rows[-1]

    async def _records(self, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[v5.Record]:
        """Return logs with the judgments on them."""
        ids = [row.id for row in rows]
        judgments: dict[str, list[v5.Record]] = {}
        query = select(feedback).where(feedback.c.log_id.in_(ids)).order_by(feedback.c.created_at, feedback.c.id)
        for row in await self._exporter.all(query):
            if (person := self._people.get(row.type)) is not None:
                value = row.value if row.typed_value is None else row.typed_value
                record = v5.judgment(row.id, person, row.log_id, value, None, row.created_at)
                judgments.setdefault(row.log_id, []).append(record | {"user": row.user})
        results = evaluation_results.c
        active = select(evaluation_results).where(results.log_id.in_(ids), results.evaluation_id.is_(None))
        for row in await self._exporter.all(active.where(results.status == "complete").order_by(results.id)):
            judgments.setdefault(row.log_id, []).append(self._result(row))
        return [_log(row, self._kind, self._versions, judgments.get(row.id, [])) for row in rows]

    def _result(self, row: Row[*tuple[Any, ...]]) -> v5.Record:
        evaluator = self._exporter.evaluators[row.version_id]
        return v5.judgment(row.id, evaluator, row.log_id, row.value, row.error, row.created_at)

    async def _write_evaluation(self, folder: Path, row: Row[*tuple[Any, ...]]) -> None:
        exporter, run_id = self._exporter, f"run_{row.id}"
        used = await exporter.all(select(evaluation_evaluators).where(evaluation_evaluators.c.evaluation_id == row.id))
        times = {"created_at": v5.time(row.created_at), "created_by": None}
        record: v5.Record = {
            "id": row.id,
            "runs_count": 1,
            "evaluators": [
                {
                    "version": exporter.evaluators[item.version_id],
                    "orchestrated": True,
                    "added_at": v5.time(item.created_at),
                }
                for item in used
            ],
            "name": row.name,
            "file_id": row.project_id,
            "updated_at": v5.time(row.updated_at),
            "url": None,
        }
        write_json(folder / "evaluation.json", record | times)
        run: v5.Record = {
            "id": run_id,
            "dataset": await exporter.dataset_version(row.dataset_id, row.dataset_version),
            "version": self._versions.get(row.config_id),
            "orchestrated": row.hl_generated,
            "added_at": v5.time(row.created_at),
            "status": row.status,
            "control": True,
        }
        write_json(folder / "runs" / run_id, run | times)
        number = await self._write_evaluation_logs(folder / "logs", row, run_id)
        stats: v5.Record = {
            "run_id": run_id,
            "version_id": row.config_id,
            "batch_id": None,
            "num_logs": number,
            "evaluator_stats": [],
            "status": row.status,
        }
        write_json(
            folder / "stats.json", {"run_stats": [stats], "progress": None, "report": None, "status": row.status}
        )

    async def _write_evaluation_logs(self, folder: Path, row: Row[*tuple[Any, ...]], run_id: str) -> int:
        """Write the logs of an evaluation with their datapoints and results, and return their number."""
        steps, points, results = evaluation_datapoints.c, datapoints.c, evaluation_results.c
        written, number, last = 0, 0, ""
        while True:
            query = (
                select(steps.log_id, steps.datapoint_id, *(points[name] for name in ("inputs", "messages", "target")))
                .join_from(
                    evaluation_datapoints,
                    datapoints,
                    and_(points.id == steps.datapoint_id, _in_version(row.dataset_version)),
                )
                .where(steps.evaluation_id == row.id, steps.datapoint_id > last, steps.log_id.is_not(None))
            )
            page = await self._exporter.all(query.order_by(steps.datapoint_id).limit(PAGE))
            if not page:
                return written
            number, last = number + 1, page[-1].datapoint_id
            ids = [step.log_id for step in page]
            found: dict[str, list[v5.Record]] = {}
            complete = results.evaluation_id == row.id, results.log_id.in_(ids), results.status == "complete"
            for result in await self._exporter.all(select(evaluation_results).where(*complete).order_by(results.id)):
                found.setdefault(result.log_id, []).append(self._result(result))
            stored = await self._exporter.all(_logs.where(logs.c.id.in_(ids), logs.c.status != "running"))
            records = {record["id"]: record for record in await self._records(stored)}
            write_lines(
                folder / f"{number}.jsonl",
                (
                    {
                        "run_id": run_id,
                        "datapoint": v5.datapoint({**step._mapping, "id": step.datapoint_id}),
                        "log": records[step.log_id],
                        "evaluator_logs": found.get(step.log_id, []),
                    }
                    for step in page
                    if step.log_id in records
                ),
            )
            written += len(records)


def _log(
    row: Row[*tuple[Any, ...]], kind: str, versions: Mapping[str, msgspec.Raw], judgments: Sequence[v5.Record]
) -> v5.Record:
    """Return a log, with the columns that v5 lacks in the field ``v4``."""
    fields = dict(row._mapping)
    for name in _JSON:
        if (text := fields[name]) is not None:
            fields[name] = msgspec.Raw(text.encode())
    extra = {name: fields[name] for name in _EXTRA if fields[name] is not None}
    if row.config_id in versions:
        del extra["config_id"]
    for name in ("provider_response", "tool_choice"):
        # v5 only has objects here; other values are in the field `v4`.
        if (raw := fields[name]) is not None and not bytes(raw).startswith((b"{", b'"')):
            fields[name] = None
        else:
            extra.pop(name, None)
    ended_at = row.created_at if row.duration is None else _later(row.created_at, row.duration)
    record = {name: fields[name] for name in _COPIED}
    return record | {
        kind: versions.get(row.config_id or "", versions[""]),
        "created_at": v5.time(row.created_at),
        "start_time": v5.time(row.created_at),
        "end_time": v5.time(ended_at),
        "reasoning_tokens": None,
        "log_status": "complete" if row.status == "complete" else "incomplete",
        "trace_parent_id": row.parent_id,
        "trace_id": row.session_id,
        "trace_flow_id": None,
        "trace_children": [],
        "evaluator_logs": [*judgments],
        "batches": [],
        "log_id": None,
        "v4": extra,
    }


_COPIED = [
    *("id", "inputs", "messages", "output", "output_message", "prompt_tokens", "output_tokens", "prompt_cost"),
    *("output_cost", "finish_reason", "tool_choice", "error", "provider_latency", "stdout", "provider_request"),
    *("provider_response", "source", "metadata", "source_datapoint_id", "user", "environment", "save"),
]


def _later(time: datetime, seconds: float) -> datetime:
    try:
        return time + timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # a duration from the caller may be any number
        return time


def _in_version(number: int) -> ColumnElement[bool]:
    return and_(datapoints.c.version <= number, or_(datapoints.c.until.is_(None), datapoints.c.until > number))


def write_json(path: Path, record: object) -> msgspec.Raw:
    """Write a file with one record, and return the record as JSON."""
    raw = msgspec.json.encode(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return msgspec.Raw(raw)


def write_lines(path: Path, records: Iterable[object]) -> None:
    """Write a JSON lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        file.writelines(encoder.encode(record) + b"\n" for record in records)


def finish(folder: Path) -> None:
    """Mark the export of a file as complete."""
    (folder / ".done").write_text("Export completed successfully.\n")
