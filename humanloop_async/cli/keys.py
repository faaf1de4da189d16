"""``humanloop-async keys``: manage API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from .database import DatabaseOption, run_with_database
from .errors import CommandError
from .terminal import print_status, printable

if TYPE_CHECKING:
    from ..server.storage.database import Database
    from ..server.storage.keys import Key

EPILOGUE = """\
Examples:
  humanloop-async keys create --name "Ada's laptop"
  humanloop-async keys list
  humanloop-async keys revoke key_V0fXqMv1bQ7dDgV4oPz8a

The database stores only a digest of each key: `create` shows the key once.
All keys of a database have access to the same projects.
Two organisations need two servers with separate databases."""

app = App("keys", help="Manage API keys.", help_format="plaintext", help_epilogue=EPILOGUE, sort_key=4)


@app.command
def create(*, name: Annotated[str, Parameter(show_default=False)] = "", db: DatabaseOption = "humanloop.db") -> None:
    """Create an API key and print it. Running servers accept it at once.

    Args:
        name: Label that `list` shows, such as the owner of the key.
    """

    async def create_key(database: Database) -> str | None:
        from ..server.storage.keys import add_key, generate_key, valid_key_id

        key = generate_key()
        async with database.write() as connection:
            await add_key(connection, key, name)
            key_id = await valid_key_id(connection, key)
            print(key, flush=True)  # before the commit: a key that could not be printed must not be stored
        return key_id

    key_id = run_with_database(db, create_key, migrate=True)
    print_status(f"{key_id}; keep the key, it is not shown again")


@app.command(name="list")
def list_command(*, db: DatabaseOption = "humanloop.db") -> None:
    """List all API keys: id, creation date, last use, state, origin, name.

    A key from HUMANLOOP_API_KEY is valid only on servers that have it there.
    The last use is stored within about a minute.
    """

    async def list_all(database: Database) -> list[Key]:
        from ..server.storage.keys import list_keys

        async with database.read() as connection:
            return await list_keys(connection)

    if not (found := run_with_database(db, list_all)):
        print_status("the database has no keys; `humanloop-async keys create` creates one")
    for key in found:
        used = "never used" if key.last_used_at is None else f"used {key.last_used_at:%Y-%m-%d %H:%M}"
        origin = "HUMANLOOP_API_KEY" if key.origin == "environment" else key.origin
        if key.revoked_at is not None:
            state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}"
        else:
            state = "valid while set" if key.origin == "environment" else "valid"
        columns = f"{key.id}  {key.created_at:%Y-%m-%d %H:%M}  {used:21}  {state:24}  {origin:17}"
        print(f"{columns}  {printable(key.name)}".rstrip())


@app.command
def revoke(key_id: str, /, *, db: DatabaseOption = "humanloop.db") -> None:
    """Revoke an API key, effective at once on running servers. Requests in progress finish.

    Args:
        key_id: Id of the key, as shown by `list`.
    """

    async def revoke_one(database: Database) -> bool:
        from ..server.storage.keys import revoke_key

        async with database.write() as connection:
            return await revoke_key(connection, key_id)

    if not run_with_database(db, revoke_one):
        raise CommandError(f"no valid key has the id {key_id!r}; `humanloop-async keys list` shows all keys")
    print_status(f"revoked {key_id}")
