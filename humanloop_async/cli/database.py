"""``humanloop-async db``: the tables' version, bringing them up to date, a copy."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, Parameter

from .failures import CommandError
from .terminal import note

EPILOGUE = """\
Examples:
  humanloop-async db status
  humanloop-async db status --db postgresql://humanloop@db.example/humanloop
  humanloop-async db upgrade --db /var/lib/humanloop/v4.db
  humanloop-async db backup humanloop-monday.db

`serve` brings the tables up to date when it starts; `upgrade`, when you like.
One database holds one organisation."""

Address = Annotated[str, Parameter(name="--db")]
T = TypeVar("T")

app = App("db", help="See to the database of a server.", help_format="plaintext", help_epilogue=EPILOGUE, sort_key=5)


def in_database(work: Coroutine[Any, Any, T]) -> T:
    """Run something with a database.

    Raises:
        CommandError: The database cannot be opened, or lacks tables.
    """
    from sqlalchemy.exc import DBAPIError

    from ..server.storage.errors import DatabaseError

    try:
        return asyncio.run(work)
    except DatabaseError as exc:
        raise CommandError(str(exc)) from exc
    except DBAPIError as exc:
        reason = str(exc.orig).partition("\n")[0]
        raise CommandError(f"the database cannot be used as it is ({reason}); see `humanloop-async db status`") from exc


@app.command
def status(*, db: Address = "humanloop.db") -> None:
    """Tell whether the tables fit this program; exit code 1 when they do not.

    Args:
        db: Path of a SQLite file, or a postgresql:// URL.
    """
    from ..server.storage.database import display_url
    from ..server.storage.migrations import is_known, latest_version

    latest, version = latest_version(), in_database(_version(db))
    print(f"database   {display_url(db)}")
    if version == latest:
        print(f"tables     {version}, up to date")
        return
    print(f"tables     {version or 'none yet'}; this program's are {latest}")
    if version is None or is_known(version):
        raise CommandError("run `humanloop-async db upgrade`, or start the server, to bring the tables up to date")
    raise CommandError("the tables are those of another version; upgrade this program")


async def _version(db: str) -> str | None:
    from ..server.storage.database import Database
    from ..server.storage.migrations import version

    database = await Database.open(db, migrate=False)
    try:
        async with database.read() as connection:
            return await connection.run_sync(version)
    finally:
        await database.aclose()


@app.command
def upgrade(*, db: Address = "humanloop.db") -> None:
    """Bring the tables up to date; a SQLite file is made when it is missing.

    Servers may run meanwhile, and several of these at once: one does the work, the others wait.

    Args:
        db: Path of a SQLite file, or a postgresql:// URL.
    """
    from ..server.storage.database import Database

    async def run() -> None:
        await (await Database.open(db)).aclose()

    in_database(run())
    status(db=db)


@app.command
def backup(file: Path, /, *, db: Address = "humanloop.db") -> None:
    """Copy the database into a file, as it is at one moment; the server may run meanwhile.

    Of SQLite the copy is a database like the original. Of PostgreSQL it is pg_dump's custom format, which pg_restore
    reads; pg_dump must be installed.

    Args:
        file: Where to; nothing is overwritten.
        db: Path of a SQLite file, or a postgresql:// URL.
    """
    from ..server.storage.database import database_url
    from ..server.storage.errors import DatabaseError

    try:
        url = database_url(db)
    except DatabaseError as exc:
        raise CommandError(str(exc)) from exc
    unfinished = file.with_name(f"{file.name}.part")
    try:
        if file.exists():
            raise CommandError(f"{file} is there already; name another file")
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
    note(f"{file.stat().st_size} bytes in {file}")


def _copy_sqlite(path: Path, file: Path) -> None:
    if not path.is_file():
        raise CommandError(f"there is no database {path}")
    file.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("VACUUM INTO ?", (str(file),))  # reads one state, and keeps no writer waiting
    except sqlite3.Error as exc:
        raise CommandError(f"cannot copy {path}: {exc}") from exc


def _dump_postgres(url: str, file: Path, environment: dict[str, str]) -> None:
    if (program := shutil.which("pg_dump")) is None:
        raise CommandError("pg_dump is not installed; it comes with PostgreSQL's client programs")
    # The password goes into the environment, which others cannot see, as they can an argument.
    done = subprocess.run(
        [program, "--format=custom", f"--file={file}", f"--dbname={url}"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"pg_dump ended with {done.returncode}"]
        raise CommandError(next((line for line in lines if "error:" in line), lines[-1]))
