"""Import prompts, tools, flows and agents as projects, their versions as configurations, and deployments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from ..storage.columns import to_utc, utc_now
from ..storage.configs import other_identity
from ..storage.model_config import ModelConfig
from ..storage.schema import deployments, environments, model_configs, projects
from ..storage.statements import dialect_insert
from .reading import Damaged, entries, read_record
from .records import Deployment, FileHead, FileType, Leftovers, Version
from .report import Report, place
from .target import Target
from .versions import config_of, type_of

VERSIONS_AT_ONCE = 200
"""Versions in one transaction."""


class Files:
    """Imports files and their versions. It knows the ids that logs refer to.

    Args:
        target: The database.
        report: Counts the records.
    """

    def __init__(self, target: Target, report: Report) -> None:
        self._target, self._report = target, report
        self._projects: set[str] = set()
        self._configs: dict[str, str | None] = {}  # the projects of versions
        self._missing: set[str] = set()  # versions that could not be imported
        self._environments: dict[str, str] = {}
        self._deployed: set[tuple[str, str]] = set()

    async def add(self, folder: Path) -> None:
        """Import the folder of a file: its versions and deployments, without its logs."""
        head = self._head(folder)
        versions = self._versions(folder)
        if head is None and versions:
            head = _head_of(versions[-1])
        if head is None:
            return
        kind = type_of(head.id, head.type)
        self._report.found(f"{kind}s")
        for version in [version for version in versions if version.id != head.id]:
            versions.remove(version)
            where = place(folder / "versions" / version.version_id)
            self._report.skip("versions", where, "the version belongs to another file", version.id)
        if head.version_id and head.version_id not in {version.version_id for version in versions}:
            # The newest version; the export was cut before it wrote the versions.
            try:
                versions.append(read_record(folder / "file.json", Version))
            except Damaged as exc:
                self._report.skip("versions", place(folder / "file.json"), "damaged", str(exc))
        await self._add_project(head, kind, versions, folder)
        await self.add_versions(versions, folder)
        await self._add_deployments(head.id, kind, folder / "deployments.json")

    def _head(self, folder: Path) -> FileHead | None:
        path = folder / "file.json"
        try:
            head = read_record(path, FileHead)
        except Damaged as exc:
            self._report.skip("files", place(path), "damaged", str(exc))
            return None
        self._count_leftovers(path, type_of(head.id, head.type))
        return head

    def _count_leftovers(self, path: Path, kind: FileType) -> None:
        try:
            leftovers = read_record(path, Leftovers)
        except Damaged:
            return
        for name in Leftovers.__struct_fields__:
            value: object = getattr(leftovers, name)
            if value and (name != "attributes" or kind == "prompt"):
                number = len(cast("list[object]", value)) if isinstance(value, list) else 1
                self._report.lost[_LOST.get(name, name)] += number

    def _versions(self, folder: Path) -> list[Version]:
        """Return the versions of a file, oldest first."""
        versions: list[Version] = []
        for path in entries(folder / "versions", self._report.unreadable):
            self._report.found("versions")
            try:
                versions.append(read_record(path, Version))
            except Damaged as exc:
                self._report.skip("versions", place(path), "damaged", str(exc))
        return sorted(versions, key=lambda version: (to_utc(version.created_at or datetime.max), version.version_id))

    async def owner(self, project_id: str, version_id: str, whole: Callable[[], Version | None]) -> str | None:
        """Return the configuration of a log, and import the file and the version if the export has only the log.

        Args:
            project_id: The file that the log belongs to.
            version_id: The version that the log belongs to.
            whole: Returns the whole version from the log.

        Returns:
            The configuration's id, or None if it belongs to another project or was not imported.

        Raises:
            Damaged: The file cannot be imported.
        """
        if self._configs.get(version_id) == project_id:
            return version_id
        if project_id in self._projects and (not version_id or version_id in self._missing):
            return None
        if version_id not in self._configs or project_id not in self._projects:
            await self._look_up(project_id, version_id)
        if version_id in self._configs and project_id in self._projects:
            return version_id if self._configs[version_id] == project_id else None
        version = whole()
        if version is None or version.id != project_id:
            raise Damaged("the log does not contain its version, and the folder has no such file")
        if project_id not in self._projects:
            kind = type_of(project_id, version.type)
            self._report.found(f"{kind}s")
            await self._add_project(_head_of(version), kind, [version], Path(version.path))
        if version_id and version_id not in self._configs:
            self._report.found("versions")
            await self.add_versions([version], Path(version.path))
        if version_id not in self._configs:
            self._missing.add(version_id)
        return version_id if self._configs.get(version_id) == project_id else None

    async def _look_up(self, project_id: str, version_id: str) -> None:
        async def query(connection: AsyncConnection) -> None:
            if await self._target.present(connection, projects.c.id, [project_id]):
                self._projects.add(project_id)
            config = model_configs.c
            for id, row in (await self._target.present(connection, config.id, [version_id], config.project_id)).items():
                self._configs[id] = row.project_id if row is not None else self._configs.get(id, project_id)

        await self._target.read(query)

    async def _add_project(self, head: FileHead, kind: FileType, versions: Sequence[Version], folder: Path) -> None:
        times = [to_utc(time) for time in (head.created_at, *(version.created_at for version in versions)) if time]
        created_at = min(times, default=utc_now())
        row: dict[str, Any] = {
            "id": head.id,
            "directory_id": head.directory_id,
            "created_at": created_at,
            "updated_at": max(created_at, to_utc(head.updated_at or created_at)),
        }

        async def insert(connection: AsyncConnection) -> str | None:
            if await self._target.present(connection, projects.c.id, [head.id]):
                return None
            names = [head.path or head.id, f"{head.path} ({head.id})"]
            taken = await self._target.present(connection, projects.c.name, names)
            name = next((name for name in names if name not in taken), f"{head.path} ({new_id('pr')})")
            await self._target.insert(connection, projects, [row | {"name": name}])
            return name

        name = await self._target.run(insert)
        self._projects.add(head.id)
        if name is None:
            self._report.present(f"{kind}s")
            return
        self._report.imported(f"{kind}s")
        if name != head.path:
            self._report.rename(str(folder), head.path, name)

    async def add_versions(self, versions: Sequence[Version], folder: Path) -> None:
        """Import versions, which are counted as found."""
        for start in range(0, len(versions), VERSIONS_AT_ONCE):
            rows: dict[str, dict[str, Any]] = {}
            for version in versions[start : start + VERSIONS_AT_ONCE]:
                try:
                    rows[version.version_id] = _config_row(version)
                except Damaged as exc:
                    where = place(folder / "versions" / version.version_id)
                    self._report.skip("versions", where, "not valid in v4", str(exc))
            await self._insert_versions(rows, folder)

    async def _insert_versions(self, rows: dict[str, dict[str, Any]], folder: Path) -> None:
        async def insert(connection: AsyncConnection) -> dict[str, str | None]:
            config = model_configs.c
            present = await self._target.present(connection, config.id, rows, config.project_id)
            identities = [row["identity"] for row in rows.values()]
            taken = set(await self._target.present(connection, config.identity, identities))
            new: list[dict[str, Any]] = []
            for id, row in rows.items():
                if id not in present:
                    if row["identity"] in taken:
                        # Calls with these parameters get the older one; both keep their ids.
                        row["identity"] = hashlib.sha256(f"{row['identity']} {id}".encode()).hexdigest()
                    taken.add(row["identity"])
                    new.append(row)
            await self._target.insert(connection, model_configs, new)
            return {
                id: row.project_id if row is not None else self._configs.get(id, rows[id]["project_id"])
                for id, row in present.items()
            }

        present = await self._target.run(insert)
        for id, row in rows.items():
            self._configs[id] = present.get(id, row["project_id"])
            if id not in present:
                self._report.imported("versions")
            elif present[id] == row["project_id"]:
                self._report.present("versions")
            else:
                where = place(folder / "versions" / id)
                self._report.skip("versions", where, "the id belongs to another project", present[id] or "")

    async def _add_deployments(self, project_id: str, kind: FileType, path: Path) -> None:
        found = self._read_deployments(path)
        if kind != "prompt":
            self._report.lost[f"deployments of {kind}s"] += len(found)
            return
        for deployment in found:
            self._report.found("deployments")
            if self._configs.get(deployment.version_id) != project_id:
                self._report.skip("deployments", place(path), "the version was not imported", deployment.version_id)
                continue
            environment_id = await self._environment(deployment)
            if await self._deploy(project_id, environment_id, deployment.version_id):
                self._report.imported("deployments")
            else:
                self._report.present("deployments")

    def _read_deployments(self, path: Path) -> list[Deployment]:
        try:
            return read_record(path, list[Deployment]) if path.exists() else []
        except Damaged as exc:
            self._report.skip("deployments", place(path), "damaged", str(exc))
            return []

    async def _environment(self, deployment: Deployment) -> str:
        """Return the id of an environment by name, and create it if it is missing."""
        name, id = deployment.environment_name, deployment.environment_id

        async def get_or_create(connection: AsyncConnection) -> tuple[str, bool]:
            found = await self._target.present(connection, environments.c.name, [name], environments.c.id)
            if (row := found.get(name)) is not None:
                return row.id, False
            free = id is not None and not await self._target.present(connection, environments.c.id, [id])
            new = {"id": id if free else new_id("env"), "name": name, "created_at": utc_now()}
            await self._target.insert(connection, environments, [new])
            return str(new["id"]), name not in found

        if name not in self._environments:
            self._environments[name], is_new = await self._target.run(get_or_create)
            self._report.found("environments")
            (self._report.imported if is_new else self._report.present)("environments")
            position = 0 if deployment.environment_tag == "default" else len(self._report.environments)
            self._report.environments.insert(position, name)
        return self._environments[name]

    async def _deploy(self, project_id: str, environment_id: str, config_id: str) -> bool:
        """Deploy a configuration unless the environment has a deployment; return whether it had none."""
        row = {"project_id": project_id, "environment_id": environment_id}

        async def insert(connection: AsyncConnection) -> bool:
            of_both = [deployments.c[name] == value for name, value in row.items()]
            if (await connection.execute(select(deployments.c.config_id).where(*of_both))).first():
                return False
            new = row | {"config_id": config_id, "experiment_id": None, "created_at": utc_now()}
            if not self._target.dry_run:
                await connection.execute(dialect_insert(connection, deployments).values(new).on_conflict_do_nothing())
            return True

        is_new = (project_id, environment_id) not in self._deployed and await self._target.run(insert)
        self._deployed.add((project_id, environment_id))
        return is_new


def _head_of(version: Version) -> FileHead:
    return FileHead(**{name: getattr(version, name) for name in FileHead.__struct_fields__})


_LOST = {
    "readme": "readmes",
    "schema": "schemas",
    "raw_file_content": "raw files",
    "evaluators": "monitoring evaluators",
}


def _config_row(version: Version) -> dict[str, Any]:
    if not version.version_id:
        raise Damaged("the version has no id")
    config = config_of(version)
    if isinstance(config, ModelConfig):
        identity = config.identity(version.id)
        kind, model, default_name = "model", config.model, f"{config.model} {identity[:6]}"
    else:
        identity = other_identity(config, version.id)
        kind, model, default_name = config.type, None, config.name or config.type
    return {
        "id": version.version_id,
        "project_id": version.id,
        "identity": identity,
        "type": kind,
        "model": model,
        "name": version.version_name or default_name,
        "description": version.version_description,
        "parameters": config,
        "created_at": version.created_at or utc_now(),
        # The first registered configuration of a project is deployed; the project of a version has one.
        "is_registered": True,
    }
