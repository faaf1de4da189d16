"""Import evaluations with their logs and results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ..storage.columns import to_utc, utc_now
from ..storage.schema import evaluation_datapoints, evaluation_evaluators, evaluations, model_configs
from ..storage.statements import dialect_insert
from .datasets import Datasets
from .evaluators import Evaluators
from .judgments import EvaluationStep, Judgments
from .logs import Logs
from .reading import Damaged, decode, entries, lines, read_record
from .records import Evaluation, EvaluationLog, Run
from .report import Report, place
from .target import Target

_evaluation_logs = msgspec.json.Decoder(EvaluationLog)


class Evaluations:
    """Imports evaluations. Each run of a v5 evaluation is an evaluation of v4.

    The first run gets the id of the evaluation, and the others keep their ids.

    Args:
        target: The database.
        report: Counts the records.
        datasets: Finds the versions of datasets.
        evaluators: Finds the evaluators.
        logs: Imports the logs in evaluations.
        judgments: Imports the results.
    """

    def __init__(
        self,
        target: Target,
        report: Report,
        datasets: Datasets,
        evaluators: Evaluators,
        logs: Logs,
        judgments: Judgments,
    ) -> None:
        self._target, self._report = target, report
        self._datasets, self._evaluators, self._logs, self._judgments = datasets, evaluators, logs, judgments

    async def add(self, folder: Path, read: Callable[[int], None]) -> None:
        """Import the folder of an evaluation.

        Args:
            folder: The folder.
            read: Called with the number of bytes of each log.
        """
        runs: list[Run] = []
        for path in entries(folder / "runs", self._report.unreadable):
            self._report.found("evaluations")
            try:
                runs.append(read_record(path, Run))
            except Damaged as exc:
                self._report.skip("evaluations", place(path), "damaged", str(exc))
        evaluation: Evaluation | None = None
        path = folder / "evaluation.json"
        try:
            evaluation = read_record(path, Evaluation)
        except Damaged as exc:
            self._report.skip("evaluations", place(path), "damaged", str(exc))
        imported: dict[str, str] = {}
        if evaluation is not None:
            runs.sort(key=lambda run: (to_utc(run.created_at or utc_now()), run.id))
            for number, run in enumerate(runs):
                id = evaluation.id if number == 0 else run.id
                if await self._add_run(evaluation, run, id, place(folder / "runs" / run.id)):
                    imported[run.id] = id
        for path in entries(folder / "logs", self._report.unreadable):
            await self._add_logs(path, imported, read)
        await self._logs.flush()

    async def _add_run(self, evaluation: Evaluation, run: Run, id: str, where: str) -> bool:
        """Insert the evaluation of a run; return whether the database has it afterwards."""
        if run.dataset is None or (dataset := self._datasets.versions.get(run.dataset.version_id)) is None:
            self._report.skip("evaluations", where, "its dataset was not imported", run.id)
            return False
        if run.version is None or not run.version.version_id:
            self._report.skip("evaluations", where, "it evaluates no version", run.id)
            return False
        version, (dataset_id, dataset_version) = run.version, dataset
        row: dict[str, Any] = {
            "id": id,
            "project_id": version.id,
            "name": evaluation.name,
            "config_id": version.version_id,
            "dataset_id": dataset_id,
            "dataset_version": dataset_version,
            "status": run.status if run.status in _STATUSES else "cancelled",
            "hl_generated": run.orchestrated,
            "owner": None,
            "created_at": run.created_at or evaluation.created_at or utc_now(),
            "updated_at": evaluation.updated_at or run.created_at or utc_now(),
        }
        links: list[dict[str, Any]] = []
        for item in evaluation.evaluators:
            if (version_id := await self._evaluators.version(item.version, where)) is None:
                self._report.skip("evaluations", where, "its evaluator was not imported", item.version.id)
                continue
            added_at = item.added_at or row["created_at"]
            links.append(
                {"evaluation_id": id, "evaluator_id": item.version.id, "version_id": version_id, "created_at": added_at}
            )

        async def insert(connection: AsyncConnection) -> str | None:
            config = model_configs.c
            configs = await self._target.present(
                connection, config.id, [version.version_id], config.project_id, config.type
            )
            if version.version_id not in configs:
                return "its version was not imported"
            if (stored := configs[version.version_id]) is not None and stored.project_id != version.id:
                return "its version belongs to another project"
            if stored is not None and stored.type != "model":
                return "it evaluates no prompt"
            known = await self._target.present(connection, evaluations.c.id, [id], evaluations.c.project_id)
            if (other := known.get(id)) is not None and other.project_id != version.id:
                return "the id belongs to another project"
            if id in known:
                return ""
            await self._target.insert(connection, evaluations, [row])
            if links and not self._target.dry_run:
                statement = dialect_insert(connection, evaluation_evaluators).on_conflict_do_nothing()
                await connection.execute(statement, links)
            return None

        problem = await self._target.run(insert)
        if problem is None:
            self._report.imported("evaluations")
        elif problem == "":
            self._report.present("evaluations")
        else:
            self._report.skip("evaluations", where, problem, run.id)
            return False
        return True

    async def _add_logs(self, path: Path, imported: dict[str, str], read: Callable[[int], None]) -> None:
        """Import the logs of an evaluation, and their datapoints and results."""
        rows: list[dict[str, Any]] = []
        for number, line in lines(path):
            where = place(path, number)
            self._report.found("logs")
            try:
                if isinstance(line, Damaged):
                    raise line
                item = decode(line, _evaluation_logs)
            except Damaged as exc:
                self._report.skip("logs", where, "damaged", str(exc))
                continue
            read(len(line) + 1)
            if (log := await self._logs.add(bytes(item.log), where)) is None:
                continue
            datapoint_id = item.datapoint.id if item.datapoint else log.source_datapoint_id
            evaluation_id = imported.get(item.run_id)
            step = None if evaluation_id is None else EvaluationStep(evaluation_id, datapoint_id)
            for judgment in item.evaluator_logs:
                self._judgments.add(judgment, log.id, where, step)
            if evaluation_id is not None and datapoint_id is not None:
                rows.append(
                    {
                        "evaluation_id": evaluation_id,
                        "datapoint_id": datapoint_id,
                        "position": number,
                        "status": "complete",
                        "owner": None,
                        "log_id": log.id,
                    }
                )
        await self._logs.flush()

        async def insert(connection: AsyncConnection) -> None:
            for start in range(0, len(rows), 500):
                statement = dialect_insert(connection, evaluation_datapoints).on_conflict_do_nothing()
                await connection.execute(statement, rows[start : start + 500])

        if rows and not self._target.dry_run:
            await self._target.run(insert)


_STATUSES = {"completed", "cancelled", "failed"}
