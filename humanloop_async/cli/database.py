"""``humanloop-async db``: show, upgrade, back up and prune a server's database."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import App, Parameter

from .errors import CommandError, usage_error
from .terminal import print_status

if TYPE_CHECKING:
    from ..server.storage.database import Database

EPILOGUE = """\
Examples:
  humanloop-async db status
  humanloop-async db status --db postgresql://humanloop@db.example/humanloop
  humanloop-async db upgrade --db /var/lib/humanloop/v4.db
  humanloop-async db backup humanloop-monday.db
  humanloop-async db prune --older-than 90d

`serve` upgrades the tables at its start; `upgrade` does so without a start.
A database holds the data of one organisation."""

DatabaseOption = Annotated[
    str,
    Parameter(
        name="--db", env_var="HUMANLOOP_DB", help="Path of the SQLite file, or a postgresql:// URL of the database."
    ),
]
T = TypeVar("T")

app = App("db", help="Manage a server's database.", help_format="plaintext", help_epilogue=EPILOGUE, sort_key=5)


def run_with_database(
    db: str, work: Callable[[Database], Awaitable[T]], *, migrate: bool = False, bulk: bool = False
) -> T:
    """Open a database, run `work` with it, and close it.

    Args:
        db: Value of `DatabaseOption`.
        work: Async function to run.
        migrate: Whether to create the SQLite file if missing, and to upgrade the tables.
        bulk: Whether `work` writes a lot, and can be repeated.

    Raises:
        CommandError: The database cannot be opened, or lacks tables.
    """
    from sqlalchemy.exc import DBAPIError

    from ..server.storage.database import Database, missing_folder
    from ..server.storage.errors import DatabaseError

    async def run() -> T:
        if migrate and (folder := missing_folder(db)) is not None:
            print_status(f"creating the folder {folder}")
        database = await Database.open(db, migrate=migrate, bulk=bulk)
        try:
            return await work(database)
        finally:
            await database.aclose()

    try:
        return asyncio.run(run())
    except DatabaseError as exc:
        raise CommandError(str(exc)) from exc
    except DBAPIError as exc:
        reason = str(exc.orig).partition("\n")[0]
        raise CommandError(f"a query of the database failed: {reason}; run `humanloop-async db status`") from exc


@app.command
def status(*, db: DatabaseOption = "humanloop.db") -> None:
    """Show the version of the tables. The exit code is 1 if it differs from the version of this program."""
    from ..server.storage.database import display_url
    from ..server.storage.migrations import is_known, latest_version, version

    async def read_version(database: Database) -> str | None:
        async with database.read() as connection:
            return await connection.run_sync(version)

    latest, current = latest_version(), run_with_database(db, read_version)
    print(f"database   {display_url(db)}")
    if current == latest:
        print(f"tables     {current}, up to date")
        return
    print(f"tables     {current or 'none'}; this program needs {latest}")
    if current is None or is_known(current):
        raise CommandError("run `humanloop-async db upgrade`, or start the server, to upgrade the tables")
    raise CommandError(f"the tables have the unknown version {current}; upgrade this program")


@app.command
def upgrade(*, db: DatabaseOption = "humanloop.db") -> None:
    """Upgrade the tables to the version of this program. A missing SQLite file is created.

    Safe while servers run, and safe to run concurrently: one process upgrades, the others wait.
    """

    async def nothing(_: Database) -> None:
        pass  # opening the database has upgraded it

    run_with_database(db, nothing, migrate=True)
    status(db=db)


@app.command
def backup(file: Path, /, *, db: DatabaseOption = "humanloop.db") -> None:
    """Write a consistent copy of the database to a file. Safe while servers run.

    The copy of a SQLite database is a SQLite database.
    Only its owner can read it.
    The copy of a PostgreSQL database is an archive for pg_restore; pg_dump must be installed.

    Args:
        file: Path of the copy. Existing files are never overwritten.
    """
    from ..server.storage.database import create_private_file, database_url
    from ..server.storage.errors import DatabaseError

    try:
        url = database_url(db)
    except DatabaseError as exc:
        raise CommandError(str(exc)) from exc
    unfinished = file.with_name(f"{file.name}.part")
    try:
        if file.exists():
            raise CommandError(f"{file} already exists; choose another file")
        unfinished.unlink(missing_ok=True)
        create_private_file(unfinished)
        if url.get_backend_name() == "sqlite":
            _copy_sqlite(Path(url.database or ""), unfinished)
        else:
            password = {} if url.password is None else {"PGPASSWORD": str(url.password)}
            plain = url.set(drivername="postgresql", password=None).render_as_string()
            _dump_postgres(plain, unfinished, password)
        unfinished.rename(file)
    except OSError as exc:
        raise CommandError(f"cannot write {file}: {exc.strerror or exc}") from exc
    finally:
        with suppress(OSError):
            unfinished.unlink()
    print_status(f"wrote {file.stat().st_size} bytes to {file}")


_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@app.command
def prune(
    *,
    older_than: Annotated[str, Parameter(help="Minimum age of the logs, as 12h, 90d or 8w (hours, days, weeks).")],
    project: Annotated[str | None, Parameter(show_default=False)] = None,
    db: DatabaseOption = "humanloop.db",
) -> None:
    """Delete old logs with their feedback. Safe while servers run.

    The logs are deleted in portions, so that servers can write in between.
    Sessions, projects and configurations stay.
    SQLite keeps the space in its file, and uses it for new logs.

    Args:
        project: Name or id of the project. Default: all projects.
    """
    match = re.fullmatch(r"(\d{1,5})([hdw])", older_than)
    if match is None:
        raise usage_error(f"--older-than {older_than!r}: expected a number and h, d or w, such as 90d")
    before = datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]

    async def delete_old(database: Database) -> int:
        from ..server.storage.portions import delete_old_logs
        from ..server.storage.projects import project_by_id, project_by_name

        if project is None:
            return await delete_old_logs(database, before)
        async with database.read() as connection:
            found = await project_by_id(connection, project) or await project_by_name(connection, project)
        if found is None:
            raise CommandError(f"no project has the name or id {project!r}")
        return await delete_old_logs(database, before, found.id)

    print_status(f"deleted {run_with_database(db, delete_old)} logs from before {before:%Y-%m-%d %H:%M} UTC")


def _copy_sqlite(path: Path, file: Path) -> None:
    if not path.is_file():
        raise CommandError(f"the database {path} does not exist; pass its path with --db")
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("VACUUM INTO ?", (str(file),))  # reads a snapshot, and does not block writers
    except sqlite3.Error as exc:
        raise CommandError(f"cannot copy {path}: {exc}") from exc


def _dump_postgres(url: str, file: Path, environment: dict[str, str]) -> None:
    if (program := shutil.which("pg_dump")) is None:
        raise CommandError("pg_dump is not installed; install the PostgreSQL client programs")
    # Other users can see the arguments of a process, but not its environment.
    dump = subprocess.run(
        [program, "--format=custom", f"--file={file}", f"--dbname={url}"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if dump.returncode != 0:
        lines = dump.stderr.strip().splitlines() or [f"pg_dump exited with code {dump.returncode}"]
        raise CommandError(next((line for line in lines if "error:" in line), lines[-1]))
