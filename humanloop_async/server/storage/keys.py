"""Queries on ``api_keys``.

A key is 256 random bits (or a long one of the operator's choice), so a plain SHA-256 protects it: nobody can
enumerate such keys, and a slow password hash would only slow every request down.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..ids import new_id
from .database import insert_missing
from .schema import api_keys


def generate_key() -> str:
    """A new API key, such as ``hl_`` and 43 characters."""
    return f"hl_{secrets.token_urlsafe(32)}"


async def add_key(connection: AsyncConnection, key: str, name: str) -> None:
    """Let a key in; one that is known already is left as it is."""
    values = {"id": new_id("key"), "digest": _digest(key), "name": name, "created_at": datetime.now(UTC)}
    await insert_missing(connection, api_keys, values)


async def any_key(connection: AsyncConnection) -> bool:
    """Whether there is a key that has not been revoked."""
    found = await connection.execute(select(api_keys.c.id).where(api_keys.c.revoked_at.is_(None)).limit(1))
    return found.first() is not None


async def is_valid(connection: AsyncConnection, key: str) -> bool:
    """Whether a key is known and not revoked."""
    digest = _digest(key)
    # What an index look-up's time could tell is about the digest, which tells nothing of the key. The comparison
    # that decides takes constant time all the same.
    found = await connection.execute(
        select(api_keys.c.digest).where(api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None))
    )
    return hmac.compare_digest(found.scalar() or "", digest)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
