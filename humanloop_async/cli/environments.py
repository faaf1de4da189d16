"""``humanloop-async environments``: create and list the environments that configurations are deployed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from .database import DatabaseOption, run_with_database
from .errors import CommandError, usage_error
from .terminal import print_status, printable

if TYPE_CHECKING:
    from ..server.storage.database import Database

EPILOGUE = """\
Examples:
  humanloop-async environments create staging
  humanloop-async environments list

`serve --environment NAME` creates environments, too.
The first one that it names is the default."""

app = App(
    "environments", help="Manage deployment environments.", help_format="plaintext", help_epilogue=EPILOGUE, sort_key=6
)


@app.command
def create(name: str, /, *, db: DatabaseOption = "humanloop.db") -> None:
    """Create an environment. Running servers deploy to it at once.

    Args:
        name: Name of the environment.
    """
    from ..server.records.environments import is_environment_name
    from ..server.records.references import MAX_NAME_CHARS

    if not is_environment_name(name):
        raise usage_error(f"invalid name {name!r:.80}: give 1 to {MAX_NAME_CHARS} characters")

    async def create_one(database: Database) -> str | None:
        from ..server.storage.environments import environment_ids, get_or_create_environments

        async with database.write() as connection:
            if name in await environment_ids(connection):
                return None
            return (await get_or_create_environments(connection, [name]))[name]

    environment_id = run_with_database(db, create_one, migrate=True)
    if environment_id is None:
        raise CommandError(f"the environment {name!r} already exists")
    print_status(f"created {environment_id}")


@app.command(name="list")
def list_command(*, db: DatabaseOption = "humanloop.db") -> None:
    """List all environments, the oldest first: id, name."""

    async def list_all(database: Database) -> dict[str, str]:
        from ..server.storage.environments import environment_ids

        async with database.read() as connection:
            return await environment_ids(connection)

    for name, environment_id in run_with_database(db, list_all).items():
        print(f"{environment_id}  {printable(name)}")
