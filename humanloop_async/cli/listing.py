"""``projects``, ``configs`` and ``logs``: list what a server has, or show one object in full."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ..types import LogResponse, ModelConfigResponse, ProjectConfigResponse, ProjectResponse
from .errors import CommandError
from .terminal import console, print_status, printable, write_json

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop


async def show_projects(
    client: AsyncHumanloop, name: str | None, search: str | None, limit: int, *, json: bool
) -> None:
    """List projects, the latest update first, or show the one with a name or an id."""
    async with client:
        if name is not None:
            return write_json((await _project(client, name)).body)
        page = await client.projects.list(filter=search, size=limit, sort_by="updated_at", order="desc")
    if json:
        return write_json(page.body)
    rows = [
        (project.name, project.id, _deployed(project), f"{project.data_count:,}", _time(project.updated_at))
        for project in page.records
    ]
    _print_table(("name", "id", "deployed", "logs", "updated"), rows, shortened=("name", "deployed"))
    return _print_total(len(rows), page.total, "projects", "NAME", search)


async def show_configs(client: AsyncHumanloop, project: str, config: str | None, *, json: bool) -> None:
    """List the configurations of a project, the latest use first, or show the one with a name or an id."""
    async with client:
        owner = await _project(client, project)
        found = await client.projects.list_configs(id=owner.id)
    found.sort(key=lambda item: item.last_used, reverse=True)
    if config is not None:
        matching = [item for item in found if config in (item.config.id, item.config.name)]
        if not matching:
            raise CommandError(f"the project {project!r} has no config {config!r}; `configs` lists those it has")
        return write_json([item.to_dict() for item in matching] if len(matching) > 1 else matching[0].to_dict())
    if json:
        return write_json(found.body)
    rows = [
        (item.config.name or "", item.config.id, _model(item), str(item.num_datapoints or 0), _time(item.last_used))
        for item in found
    ]
    _print_table(("name", "id", "model", "logs", "last used"), rows, shortened=("name", "model"))
    return _print_total(len(rows), len(rows), "configs", owner.name)


async def show_logs(
    client: AsyncHumanloop, target: str, search: str | None, limit: int, page: int, *, json: bool
) -> None:
    """List the logs of a project, the newest first, or show the one with an id."""
    async with client:
        if target.startswith("data_"):
            return write_json((await client.logs.get(target)).body)
        project = await _project(client, target)
        found = await client.logs.list(project_id=project.id, search=search, size=limit, page=page)
    if json:
        return write_json(found.body)
    rows = [
        (
            log.id,
            _time(log.created_at),
            _question(log),
            log.output or log.error or "",
            str(log.tokens or ""),
            log.finish_reason or "" if log.error is None else "error",
        )
        for log in found.records
    ]
    _print_table(("id", "created", "input", "output", "tokens", "finish"), rows, shortened=("input", "output"))
    return _print_total(len(rows), found.total, "logs", project.name, search)


async def _project(client: AsyncHumanloop, name: str) -> ProjectResponse:
    if name.startswith("pr_"):
        return await client.projects.get(name)
    async for project in client.projects.list(filter=name, size=100):
        if project.name == name:
            return project
    raise CommandError(f"there is no project {name!r}; `humanloop-async projects` lists all projects")


def _deployed(project: ProjectResponse) -> str:
    if project.active_experiment is not None:
        return f"experiment {project.active_experiment.name}"
    if project.active_config is not None:
        return project.active_config.config.name or project.active_config.config.id
    return ""


def _model(item: ProjectConfigResponse) -> str:
    config = item.config
    return f"{config.provider}/{config.model}" if isinstance(config, ModelConfigResponse) else config.type


def _question(log: LogResponse) -> str:
    for message in reversed(log.messages or ()):
        if message.role == "user" and isinstance(message.content, str):
            return message.content
    return ", ".join(f"{name}={value}" for name, value in (log.inputs or {}).items())


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, shortened: Sequence[str]) -> None:
    """Print one line per row: with the columns `shortened` cut to fit a terminal, else in full, separated by tabs."""
    screen = console()
    lines = [[" ".join(printable(cell).split()) for cell in row] for row in rows]
    if not screen.is_terminal:
        for line in lines:
            print("\t".join(line))
        return
    if not lines:
        return
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    least = len(columns) - 1
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        # rich narrows the columns that may wrap before the others. Their cells do not wrap, and are cut.
        table.add_column(column, no_wrap=column not in shortened)
        least += len(column) if column in shortened else max(map(cell_len, (column, *cells)))
    for line in lines:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in line))
    screen.width = max(screen.width, least)  # a narrower terminal wraps the lines; an id that is cut is of no use
    screen.print(table)


def _print_total(shown: int, total: int, things: str, project: str, search: str | None = None) -> None:
    """Print how many of all are shown, if not all are, or what to do if there are none."""
    if shown < total:
        print_status(f"{shown} of {total}")
    elif not total and search is not None:
        print_status(f"no {things} match {printable(search)!r}")
    elif not total:
        name = shlex.quote(printable(project))
        print_status(f'no {things} yet; try `humanloop-async complete "The sea is" --provider mock --project {name}`')
