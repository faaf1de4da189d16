"""Queries on ``api_keys``.

A key has 256 random bits, or is a long one of the operator's choice. Such keys cannot be enumerated, so a SHA-256 is
enough to protect them; a slow password hash would only slow down every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .columns import utc_now
from .schema import api_keys
from .statements import insert_or_ignore

KeyOrigin: TypeAlias = Literal["command", "first start", "environment"]
"""How a key got into the database. One from the environment is valid only on servers that have it there."""


class Key(Struct, frozen=True):
    """The stored data of a key. The key itself cannot be recovered."""

    id: str
    name: str
    origin: KeyOrigin
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def generate_key() -> str:
    """Return a new API key: ``hl_`` and 43 random characters."""
    return f"hl_{secrets.token_urlsafe(32)}"


async def add_key(connection: AsyncConnection, key: str, name: str, origin: KeyOrigin = "command") -> None:
    """Add a key; an existing one is unchanged, also if it is revoked."""
    values = {"id": new_id("key"), "digest": _digest(key), "name": name, "origin": origin, "created_at": utc_now()}
    await insert_or_ignore(connection, api_keys, values)


async def delete_key(connection: AsyncConnection, key: str) -> None:
    """Delete a key that nobody has seen."""
    await connection.execute(delete(api_keys).where(api_keys.c.digest == _digest(key)))


async def store_uses(connection: AsyncConnection, uses: Mapping[str, datetime]) -> None:
    """Store the times at which keys were last used, by the keys' ids."""
    # In one order, which prevents deadlocks of two servers that store the same keys.
    rows = [{"key_id": key_id, "used_at": used_at} for key_id, used_at in sorted(uses.items())]
    query = update(api_keys).where(api_keys.c.id == bindparam("key_id"))
    await connection.execute(query.values(last_used_at=bindparam("used_at")), rows)


async def list_keys(connection: AsyncConnection) -> list[Key]:
    """Return all keys, including revoked ones, oldest first."""
    columns = [api_keys.c[name] for name in Key.__struct_fields__]
    return [Key(*row) for row in await connection.execute(select(*columns).order_by(api_keys.c.created_at))]


async def revoke_key(connection: AsyncConnection, key_id: str) -> bool:
    """Revoke a key; return False if it does not exist or is already revoked."""
    query = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    return (await connection.execute(query.values(revoked_at=utc_now()))).rowcount == 1


async def count_keys(connection: AsyncConnection) -> int:
    """Return the number of keys that are valid on every server."""
    valid = (api_keys.c.revoked_at.is_(None), api_keys.c.origin != "environment")
    return (await connection.execute(select(func.count()).select_from(api_keys).where(*valid))).scalar_one()


async def valid_key_id(connection: AsyncConnection, key: str, configured: str | None = None) -> str | None:
    """Return the id of a key, or None if it is unknown, revoked, or another server's.

    Args:
        connection: A connection.
        key: The key.
        configured: The key in the environment of this server.
    """
    digest = _digest(key)
    # The time of the index look-up depends on the digest, which does not reveal the key. The final comparison takes
    # constant time.
    found = await connection.execute(
        select(api_keys.c.id, api_keys.c.digest, api_keys.c.origin).where(
            api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None)
        )
    )
    row = found.first()
    if row is None or not hmac.compare_digest(row.digest, digest):
        return None
    if row.origin == "environment" and (configured is None or _digest(configured) != digest):
        return None
    return str(row.id)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
