"""Queries on ``api_keys``.

A key has 256 random bits, or is a long one of the operator's choice. Such keys cannot be enumerated, so a SHA-256 is
enough to protect them; a slow password hash would only slow down every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime

from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .columns import utc_now
from .schema import api_keys
from .statements import insert_or_ignore


class Key(Struct, frozen=True):
    """The stored data of a key. The key itself cannot be recovered."""

    id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


def generate_key() -> str:
    """Return a new API key: ``hl_`` and 43 random characters."""
    return f"hl_{secrets.token_urlsafe(32)}"


async def add_key(connection: AsyncConnection, key: str, name: str) -> None:
    """Add a key; an existing one is unchanged, also if it is revoked."""
    values = {"id": new_id("key"), "digest": _digest(key), "name": name, "created_at": utc_now()}
    await insert_or_ignore(connection, api_keys, values)


async def list_keys(connection: AsyncConnection) -> list[Key]:
    """Return all keys, including revoked ones, oldest first."""
    columns = (api_keys.c.id, api_keys.c.name, api_keys.c.created_at, api_keys.c.revoked_at)
    return [Key(*row) for row in await connection.execute(select(*columns).order_by(api_keys.c.created_at))]


async def revoke_key(connection: AsyncConnection, key_id: str) -> bool:
    """Revoke a key; return False if it does not exist or is already revoked."""
    query = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    return (await connection.execute(query.values(revoked_at=utc_now()))).rowcount == 1


async def any_key(connection: AsyncConnection) -> bool:
    """Return whether there is a key that is not revoked."""
    found = await connection.execute(select(api_keys.c.id).where(api_keys.c.revoked_at.is_(None)).limit(1))
    return found.first() is not None


async def valid_key_id(connection: AsyncConnection, key: str) -> str | None:
    """Return the id of a key, or None if it is unknown or revoked."""
    digest = _digest(key)
    # The time of the index look-up depends on the digest, which does not reveal the key. The final comparison takes
    # constant time.
    found = await connection.execute(
        select(api_keys.c.id, api_keys.c.digest).where(api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None))
    )
    row = found.first()
    return row.id if row is not None and hmac.compare_digest(row.digest, digest) else None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
