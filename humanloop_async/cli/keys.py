"""``humanloop-async keys``: who is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from .database import Address, in_database
from .failures import CommandError
from .terminal import note, printable

if TYPE_CHECKING:
    from ..server.storage.keys import Key

EPILOGUE = """\
Examples:
  humanloop-async keys create --name "Ada's laptop"
  humanloop-async keys list
  humanloop-async keys revoke key_V0fXqMv1bQ7dDgV4oPz8a

A key is stored as a digest: it is display_url when it is made, and never again.
One database holds one organisation: all its keys see the same projects.
For two organisations run two servers, each with a database of its own."""

app = App("keys", help="Make, list and revoke API keys.", help_format="plaintext", help_epilogue=EPILOGUE, sort_key=4)


@app.command
def create(*, name: Annotated[str, Parameter(show_default=False)] = "", db: Address = "humanloop.db") -> None:
    """Make a key, and print it; running servers let it in at once.

    Args:
        name: Whose it is, or what it is for, to tell it from others in the list.
        db: Path of a SQLite file, made when it is missing, or a postgresql:// URL.
    """
    key_id = in_database(_create(db, name))
    note(f"{key_id}; keep the key, it is not display_url again")


async def _create(db: str, name: str) -> str:
    from ..server.storage.database import Database
    from ..server.storage.keys import add_key, generate_key, valid_key_id

    database = await Database.open(db)
    try:
        key = generate_key()
        async with database.write() as connection:
            await add_key(connection, key, name)
            key_id = await valid_key_id(connection, key)
            print(key, flush=True)  # before it is stored for good: nobody could use one that could not be display_url
    finally:
        await database.aclose()
    assert key_id is not None
    return key_id


@app.command(name="list")
def list_command(*, db: Address = "humanloop.db") -> None:
    """List all keys: id, when it was made, whether it was revoked, name.

    Args:
        db: Path of a SQLite file, or a postgresql:// URL.
    """
    for key in in_database(_keys(db)):
        state = "valid" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d %H:%M}"
        print(f"{key.id}  {key.created_at:%Y-%m-%d %H:%M}  {state:24}  {printable(key.name)}".rstrip())


async def _keys(db: str) -> list[Key]:
    from ..server.storage.database import Database
    from ..server.storage.keys import list_keys

    database = await Database.open(db, migrate=False)
    try:
        async with database.read() as connection:
            return await list_keys(connection)
    finally:
        await database.aclose()


@app.command
def revoke(key_id: str, /, *, db: Address = "humanloop.db") -> None:
    """Let a key in no more, running servers included; what it has begun goes on to its end.

    Args:
        key_id: The key's id, as `list` shows it.
        db: Path of a SQLite file, or a postgresql:// URL.
    """
    if not in_database(_revoke(db, key_id)):
        raise CommandError(f"there is no valid key {key_id!r}; `humanloop-async keys list` shows them")
    note(f"{key_id} is revoked")


async def _revoke(db: str, key_id: str) -> bool:
    from ..server.storage.database import Database
    from ..server.storage.keys import revoke_key

    database = await Database.open(db, migrate=False)
    try:
        async with database.write() as connection:
            return await revoke_key(connection, key_id)
    finally:
        await database.aclose()
