"""Import evaluators and their versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..storage.columns import to_utc, utc_now
from ..storage.model_config import ModelConfig
from ..storage.schema import evaluator_versions, evaluators, model_configs
from .reading import Damaged, entries, read_record
from .records import EvaluatorVersion
from .report import Report, place
from .target import Target
from .versions import model_config

_TYPES = {"python", "llm", "human", "external"}
_RETURN_TYPES = {"boolean", "number", "select", "multi_select", "text"}
_ARGUMENTS_TYPES = {"target_free", "target_required"}


class Evaluators:
    """Imports evaluators. It knows the ids that judgments refer to.

    Args:
        target: The database.
        report: Counts the records.
    """

    def __init__(self, target: Target, report: Report) -> None:
        self._target, self._report = target, report
        self._versions: dict[str, str] = {}  # the evaluators of versions

    async def add(self, folder: Path) -> None:
        """Import the folder of an evaluator."""
        versions: list[EvaluatorVersion] = []
        for path in [*entries(folder / "versions", self._report.unreadable), folder / "file.json"]:
            try:
                version = read_record(path, EvaluatorVersion)
            except Damaged as exc:
                self._report.skip("evaluators", place(path), "damaged", str(exc))
            else:
                if version.version_id not in {known.version_id for known in versions}:
                    versions.append(version)
        if versions:
            await self._add(sorted(versions, key=lambda version: (_created_at(version), version.version_id)), folder)

    async def version(self, version: EvaluatorVersion, where: str) -> str | None:
        """Return the id of a judgment's version, and import the evaluator if the export has only the judgment.

        Returns:
            The version's id, or None if it belongs to another evaluator.
        """
        if version.version_id not in self._versions:
            await self._add([version], Path(where))
        return version.version_id if self._versions.get(version.version_id) == version.id else None

    async def _add(self, versions: Sequence[EvaluatorVersion], folder: Path) -> None:
        newest = versions[-1]
        kind = newest.spec.evaluator_type
        if kind not in _TYPES or not all(version.version_id for version in versions):
            self._report.skip("evaluators", str(folder), "damaged", f"the type is {kind!r:.80}")
            return
        configs = {version.version_id: _config(version) for version in versions} if kind == "llm" else {}
        present = evaluators.c, evaluator_versions.c

        async def insert(connection: AsyncConnection) -> tuple[bool, dict[str, str]]:
            known = await self._target.present(connection, present[0].id, [newest.id])
            ids = [version.version_id for version in versions]
            stored = await self._target.present(connection, present[1].id, ids, present[1].evaluator_id)
            owners = {id: row.evaluator_id if row is not None else newest.id for id, row in stored.items()}
            new = [version for version in versions if version.version_id not in owners]
            last = select(func.coalesce(func.max(present[1].number), 0)).where(present[1].evaluator_id == newest.id)
            number = (await connection.execute(last)).scalar_one()
            created_at = _created_at(versions[0])
            row: dict[str, Any] = {
                "id": newest.id,
                "type": kind,
                "name": newest.name or newest.path.rpartition("/")[2],
                "description": newest.description or "",
                "version": number + len(new),
                "created_at": created_at,
                "updated_at": max(created_at, to_utc(newest.updated_at or created_at)),
            }
            if not known:
                await self._target.insert(connection, evaluators, [row])
            for offset, version in enumerate(new, 1):
                config_id = await self._config_id(connection, configs.get(version.version_id), version)
                await self._target.insert(connection, evaluator_versions, [_row(version, number + offset, config_id)])
            if known and new and not self._target.dry_run:
                statement = update(evaluators).where(present[0].id == newest.id)
                await connection.execute(statement.values(version=number + len(new)))
            return not known, owners

        is_new, owners = await self._target.run(insert)
        self._versions |= {version.version_id: owners.get(version.version_id, version.id) for version in versions}
        self._report.found("evaluators")
        (self._report.imported if is_new else self._report.present)("evaluators")

    async def _config_id(
        self, connection: AsyncConnection, config: ModelConfig | None, version: EvaluatorVersion
    ) -> str | None:
        """Return the id of the configuration of an evaluator's model, which belongs to no project."""
        if config is None:
            return None
        identity = config.identity(None)
        column = model_configs.c.identity
        if (
            row := (await self._target.present(connection, column, [identity], model_configs.c.id)).get(identity)
        ) is not None:
            return str(row.id)
        new = {
            "id": f"config_{identity[:21]}",  # the same when an interrupted import is repeated
            "project_id": None,
            "identity": identity,
            "type": "model",
            "model": config.model,
            "name": f"{config.model} {identity[:6]}",
            "description": None,
            "parameters": config,
            "created_at": _created_at(version),
            "is_registered": False,
        }
        await self._target.insert(connection, model_configs, [new])
        return str(new["id"])


def _created_at(version: EvaluatorVersion) -> datetime:
    return utc_now() if version.created_at is None else to_utc(version.created_at)


def _config(version: EvaluatorVersion) -> ModelConfig | None:
    try:
        return None if version.spec.prompt is None else model_config(version.spec.prompt)
    except Damaged:
        return None


def _row(version: EvaluatorVersion, number: int, config_id: str | None) -> dict[str, Any]:
    spec = version.spec
    options: list[Any] | None = [option.name for option in spec.options] if spec.options else None
    return {
        "id": version.version_id,
        "evaluator_id": version.id,
        "number": number,
        "arguments_type": spec.arguments_type if spec.arguments_type in _ARGUMENTS_TYPES else "target_free",
        "return_type": spec.return_type if spec.return_type in _RETURN_TYPES else "text",
        "code": spec.code,
        "config_id": config_id,
        "options": options,
        "created_at": _created_at(version),
    }
