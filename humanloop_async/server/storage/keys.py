"""Queries on ``api_keys``.

A key is 256 random bits (or a long one of the operator's choice), so a plain SHA-256 protects it: nobody can
enumerate such keys, and a slow password hash would only slow every request down.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .schema import api_keys
from .statements import insert_or_ignore


class Key(Struct, frozen=True):
    """What is known of a key; not the key, which nobody can know any more."""

    id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


def generate_key() -> str:
    """A new API key, such as ``hl_`` and 43 characters."""
    return f"hl_{secrets.token_urlsafe(32)}"


async def add_key(connection: AsyncConnection, key: str, name: str) -> None:
    """Let a key in; one that is known already is left as it is."""
    values = {"id": new_id("key"), "digest": _digest(key), "name": name, "created_at": datetime.now(UTC)}
    await insert_or_ignore(connection, api_keys, values)


async def list_keys(connection: AsyncConnection) -> list[Key]:
    """All keys, revoked ones included, in the order in which they were made."""
    columns = (api_keys.c.id, api_keys.c.name, api_keys.c.created_at, api_keys.c.revoked_at)
    return [Key(*row) for row in await connection.execute(select(*columns).order_by(api_keys.c.created_at))]


async def revoke_key(connection: AsyncConnection, key_id: str) -> bool:
    """Let a key in no more; False when there is none of that id, or it has been revoked before."""
    query = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    return (await connection.execute(query.values(revoked_at=datetime.now(UTC)))).rowcount == 1


async def any_key(connection: AsyncConnection) -> bool:
    """Whether there is a key that has not been revoked."""
    found = await connection.execute(select(api_keys.c.id).where(api_keys.c.revoked_at.is_(None)).limit(1))
    return found.first() is not None


async def valid_key_id(connection: AsyncConnection, key: str) -> str | None:
    """The id of a key; None when it is not known, or revoked."""
    digest = _digest(key)
    # What an index look-up's time could tell is about the digest, which tells nothing of the key. The comparison
    # that decides takes constant time all the same.
    found = await connection.execute(
        select(api_keys.c.id, api_keys.c.digest).where(api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None))
    )
    row = found.first()
    return row.id if row is not None and hmac.compare_digest(row.digest, digest) else None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
