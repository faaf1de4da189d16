"""Queries on ``idempotency``: calls that carry a key of the caller's, so that a repetition gets the first outcome."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from sqlalchemy import Select, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import ApiError
from .schema import idempotency, servers
from .statements import dialect_insert

INVALIDATED = ApiError(404, "what this call made has been deleted; use a new Idempotency-Key to make it again")
"""The outcome of a call whose logs were deleted."""


class Claim(Struct, frozen=True, kw_only=True):
    """The right to make a call. The fields are columns.

    Attributes:
        id: Digest of who calls and of the caller's key.
        fingerprint: Digest of what is asked; a key used for something else is a mistake.
        owner: The server process that makes the call, which counts as running for as long as that one lives.
        expires_at: When it is forgotten; to the microsecond, so that it tells apart claims of the same call.
    """

    id: str
    fingerprint: str
    owner: str
    expires_at: datetime


class Outcome(Struct, frozen=True, kw_only=True):
    """How a claimed call ended.

    Attributes:
        status: HTTP status; None gives the claim back, so that a repetition makes the call.
        body: The answer; None when it must not be stored.
    """

    claim: Claim
    status: int | None
    body: bytes | None = None


class PreviousCall(Struct, frozen=True):
    """What is known of a call that came with the same key.

    Attributes:
        status: None while it is running.
        alive_until: For how long the server that makes it counts as alive.
    """

    fingerprint: str
    owner: str
    status: int | None
    body: bytes | None
    expires_at: datetime
    alive_until: datetime | None

    @property
    def is_valid(self) -> bool:
        """Whether it has not expired, and its server has not died over it."""
        now = datetime.now(UTC)
        is_over = self.status is not None
        return self.expires_at > now and (is_over or (self.alive_until is not None and self.alive_until > now))


_t = idempotency.c
# A repetition that was given up before it heard that the claim is taken has the same id, and may have the same owner.
_own = (
    _t.id == bindparam("claim_id"),
    _t.owner == bindparam("claim_owner"),
    _t.expires_at == bindparam("claim_expires_at"),
    _t.status.is_(None),
)
_store = update(idempotency).where(*_own).values(status=bindparam("outcome"), body=bindparam("answer"))
_release = delete(idempotency).where(*_own)
_find = (
    select(_t.fingerprint, _t.owner, _t.status, _t.body, _t.expires_at, servers.c.alive_until)
    .join_from(idempotency, servers, servers.c.id == _t.owner, isouter=True)
    .where(_t.id == bindparam("claim_id"))
)


async def insert_claims(connection: AsyncConnection, claims: Sequence[Claim]) -> set[str]:
    """Store claims; returns the ids of those that nobody had made before."""
    # In one order, so that two servers with several of the same never wait for each other.
    rows = [msgspec.structs.asdict(claim) for claim in sorted(claims, key=lambda claim: claim.id)]
    missing = dialect_insert(connection, idempotency).on_conflict_do_nothing().returning(_t.id)
    return set((await connection.execute(missing, rows)).scalars())


async def store_outcomes(connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
    """Store how claimed calls ended, and give back claims; those that somebody else has by now stay as they are."""
    names = [
        {f"claim_{name}": getattr(outcome.claim, name) for name in ("id", "owner", "expires_at")}
        for outcome in outcomes
    ]
    done = [
        {**name, "outcome": outcome.status, "answer": outcome.body}
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome.status is not None
    ]
    given_back = [name for name, outcome in zip(names, outcomes, strict=True) if outcome.status is None]
    if done:
        await connection.execute(_store, done)
    if given_back:
        await connection.execute(_release, given_back)


async def previous_call(connection: AsyncConnection, claim_id: str) -> PreviousCall | None:
    """The call of that id."""
    row = (await connection.execute(_find, {"claim_id": claim_id})).first()
    return PreviousCall(*row) if row else None


async def delete_claim(connection: AsyncConnection, claim_id: str, call: PreviousCall) -> None:
    """Remove a call that does not count, unless somebody has taken it over meanwhile."""
    same = (_t.id == claim_id, _t.owner == call.owner, _t.expires_at == call.expires_at)
    await connection.execute(delete(idempotency).where(*same))


async def invalidate(connection: AsyncConnection, claim_ids: Collection[str] | Select[tuple[str | None]]) -> None:
    """Put `INVALIDATED` in place of what calls were answered, or will be."""
    if isinstance(claim_ids, Select) or claim_ids:
        body = INVALIDATED.body()
        await connection.execute(
            update(idempotency).where(_t.id.in_(claim_ids)).values(status=INVALIDATED.status, body=body)
        )


async def delete_expired(connection: AsyncConnection, limit: int) -> int:
    """Remove calls whose time is over, at most so many; returns how many."""
    old = select(_t.id).where(_t.expires_at <= datetime.now(UTC)).limit(limit)
    return (await connection.execute(delete(idempotency).where(_t.id.in_(old)))).rowcount
