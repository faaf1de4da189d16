"""Queries on ``idempotency``: calls with an ``Idempotency-Key``, and their outcomes for retries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from sqlalchemy import Select, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import ApiError
from .columns import utc_now
from .schema import idempotency, servers
from .statements import dialect_insert

INVALIDATED = ApiError(404, "the logs of this call have been deleted; to repeat the call, use a new Idempotency-Key")
"""The response to a retry of a call whose logs were deleted."""


class Claim(Struct, frozen=True, kw_only=True):
    """The right to run a call. The fields are columns of ``idempotency``.

    Attributes:
        id: Digest of the API key's id and the ``Idempotency-Key``.
        fingerprint: Digest of the request, to detect a key that is used for another request.
        owner: The server process that runs the call. The claim ends when that process dies.
        expires_at: When the row may be deleted. Its microseconds distinguish claims of one call.
    """

    id: str
    fingerprint: str
    owner: str
    expires_at: datetime


class Outcome(Struct, frozen=True, kw_only=True):
    """The end of a claimed call.

    Attributes:
        status: HTTP status; None releases the claim, so that a retry runs the call.
        body: The response's body; None if it must not be stored.
        expires_at: When the outcome may be deleted; None keeps the time of the claim.
    """

    claim: Claim
    status: int | None
    body: bytes | None = None
    expires_at: datetime | None = None


class PreviousCall(Struct, frozen=True):
    """The stored state of an earlier call with the same key.

    Attributes:
        status: None while the call is running.
        alive_until: End of the lease of the server that runs the call; None if it has none.
    """

    fingerprint: str
    owner: str
    status: int | None
    body: bytes | None
    expires_at: datetime
    alive_until: datetime | None

    @property
    def is_valid(self) -> bool:
        """Whether the row has not expired, and the call has ended or its server is alive."""
        now = utc_now()
        has_ended = self.status is not None
        return self.expires_at > now and (has_ended or (self.alive_until is not None and self.alive_until > now))


_t = idempotency.c
# The id and the owner do not identify a claim: a retry of an abandoned request to this server has the same ones.
_same_claim = (
    _t.id == bindparam("claim_id"),
    _t.owner == bindparam("claim_owner"),
    _t.expires_at == bindparam("claim_expires_at"),
    _t.status.is_(None),
)
_store = (
    update(idempotency)
    .where(*_same_claim)
    .values(status=bindparam("outcome"), body=bindparam("content"), expires_at=bindparam("new_expires_at"))
)
_release = delete(idempotency).where(*_same_claim)
_find = (
    select(_t.fingerprint, _t.owner, _t.status, _t.body, _t.expires_at, servers.c.alive_until)
    .join_from(idempotency, servers, servers.c.id == _t.owner, isouter=True)
    .where(_t.id == bindparam("claim_id"))
)


async def insert_claims(connection: AsyncConnection, claims: Sequence[Claim]) -> set[str]:
    """Insert claims, and return the ids of those that no other request holds."""
    # In one order, which prevents deadlocks of two servers that insert the same claims.
    rows = [msgspec.structs.asdict(claim) for claim in sorted(claims, key=lambda claim: claim.id)]
    missing = dialect_insert(connection, idempotency).on_conflict_do_nothing().returning(_t.id)
    return set(await connection.scalars(missing, rows))


async def store_outcomes(connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
    """Store the ends of claimed calls, and release claims. Claims that another request holds by now are unchanged."""
    outcomes = sorted(outcomes, key=lambda outcome: outcome.claim.id)
    names = [
        {f"claim_{name}": getattr(outcome.claim, name) for name in ("id", "owner", "expires_at")}
        for outcome in outcomes
    ]
    ended = [
        {
            **name,
            "outcome": outcome.status,
            "content": outcome.body,
            "new_expires_at": outcome.expires_at or outcome.claim.expires_at,
        }
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome.status is not None
    ]
    released = [name for name, outcome in zip(names, outcomes, strict=True) if outcome.status is None]
    if ended:
        await connection.execute(_store, ended)
    if released:
        await connection.execute(_release, released)


async def previous_call(connection: AsyncConnection, claim_id: str) -> PreviousCall | None:
    """Return the call with a claim's id."""
    row = (await connection.execute(_find, {"claim_id": claim_id})).first()
    return PreviousCall(*row) if row else None


async def delete_claim(connection: AsyncConnection, claim_id: str, call: PreviousCall) -> None:
    """Delete an invalid call, unless another request has claimed it since."""
    same = (_t.id == claim_id, _t.owner == call.owner, _t.expires_at == call.expires_at)
    await connection.execute(delete(idempotency).where(*same))


async def invalidate(connection: AsyncConnection, claim_ids: Collection[str] | Select[tuple[str | None]]) -> None:
    """Replace the outcomes of calls, or of calls that are still running, with `INVALIDATED`."""
    if isinstance(claim_ids, Select) or claim_ids:
        body = INVALIDATED.body()
        # In the order of `store_outcomes`, which prevents deadlocks; an UPDATE has no order.
        await connection.execute(select(_t.id).where(_t.id.in_(claim_ids)).order_by(_t.id).with_for_update())
        await connection.execute(
            update(idempotency).where(_t.id.in_(claim_ids)).values(status=INVALIDATED.status, body=body)
        )


async def delete_expired(connection: AsyncConnection, limit: int) -> int:
    """Delete at most `limit` expired calls, and return their number."""
    old = select(_t.id).where(_t.expires_at <= utc_now()).limit(limit)
    return (await connection.execute(delete(idempotency).where(_t.id.in_(old)))).rowcount
