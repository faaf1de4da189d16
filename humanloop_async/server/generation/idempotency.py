"""A call with an ``Idempotency-Key`` that comes again gets the outcome of the first: nothing is done twice.

Whoever stores the key first makes the call, on whatever server process; the others wait for its outcome. Generation
stores the key with its running logs and the outcome with their ends, each in one transaction; everything else does
its work and stores the key in one. So the outcome is there exactly when what it tells of is there, also after a crash:
the claim of a process that died counts for nothing once its lease has run out.

A generation that such a death cut off is made again whole, under new ids. The samples that it had finished stay in the
logs beside the new ones: they were generated and paid for, and their caller may have seen them. Generating only what
is missing would be another call: providers sample `n` together, count their tokens together, and seed them together.

What may go otherwise the next time is not kept: refusals before anything was done, 429, 5xx, calls that were cut off.
The answer of a generation with ``save: false`` must not be stored. It stays in the memory of its process for a while,
which is enough for a client that lost its connection; a later repetition is told so (422), and not generated again.

Deleting a log or a project takes back the answers that were kept of the generations that made its logs: a repetition
is a 404, and the text is gone from the database at once. What else is kept (answers that say little more than the
request itself, which is needed to ask for them) goes when its time is over.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Self

from aiohttp import web
from msgspec import Struct

from ...errors import is_retryable
from ..errors import ApiError
from ..storage.database import Database
from ..storage.idempotency import (
    Claim,
    Outcome,
    PreviousCall,
    delete_claim,
    delete_expired,
    insert_claims,
    previous_call,
    store_outcomes,
)
from .log_writer import LogWriter

MAX_KEY_CHARS = 255
"""Longest ``Idempotency-Key``, in characters."""

MAX_HELD_BYTES = 16 * 1024 * 1024
"""Most memory for answers that must not be stored."""

HOLD_SECONDS = 600.0
"""How long such an answer stays there."""

CLEANUP_SECONDS, CLEANUP_ROWS = 60.0, 1000
"""How often expired keys are removed, and how many in one transaction."""

_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5  # seconds between two looks at a call that is running


class Answer(Struct, frozen=True):
    """The answer of an earlier call."""

    status: int
    body: bytes


class IdempotentCall(Struct, frozen=True):
    """One call, of which there shall be no second: `Idempotency` makes it from a request's header."""

    claim: Claim
    hold: Callable[[str, bytes], None]

    def answered(self, body: bytes, *, save: bool) -> Outcome:
        """The outcome of a call that succeeded."""
        if not save:
            self.hold(self.claim.id, body)
        return Outcome(claim=self.claim, status=200, body=body if save else None)

    def failed(self, refusal: ApiError | None) -> Outcome:
        """The outcome of a call that failed, or was cut off when there is no refusal."""
        if refusal is None or is_retryable(refusal.status):
            return Outcome(claim=self.claim, status=None)
        return Outcome(claim=self.claim, status=refusal.status, body=refusal.body())


class Idempotency:
    """The keys of one database, as one server process sees them. Used as an async context manager.

    Args:
        ttl: Seconds for which a key is remembered.
    """

    def __init__(self, database: Database, log_writer: LogWriter, ttl: float) -> None:
        self._database = database
        self._owner = log_writer.owner
        self._ttl = timedelta(seconds=ttl)
        self._held: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._held_bytes = 0
        self._clock = asyncio.get_running_loop().time

    async def __aenter__(self) -> Self:
        self._cleaning = asyncio.create_task(self._clean())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._cleaning.cancel()
        await asyncio.wait([self._cleaning], timeout=1)  # a statement may wait for its database

    def call(self, request: web.Request, key_id: str, body: bytes) -> IdempotentCall | None:
        """The call that a request is, when it has a key.

        Args:
            key_id: Who calls; callers do not see each other's keys.

        Raises:
            ApiError: The key is too long (422).
        """
        key = request.headers.get("Idempotency-Key")
        if not key:
            return None
        if len(key) > MAX_KEY_CHARS:
            raise ApiError(422, f"the Idempotency-Key has more than {MAX_KEY_CHARS} characters")
        content = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode(errors="surrogateescape"))
        content.update(body)
        claim = Claim(
            id=hashlib.sha256(f"{key_id} {key}".encode(errors="surrogateescape")).hexdigest(),
            fingerprint=content.hexdigest(),
            owner=self._owner,
            expires_at=datetime.now(UTC) + self._ttl,
        )
        return IdempotentCall(claim, self._hold)

    async def earlier(self, call: IdempotentCall) -> Answer | None:
        """What an earlier call answered, as soon as it has; None when there is none, and this one may be made.

        Raises:
            ApiError: The key was used for something else, or the answer was not stored (422).
        """
        pause = _FIRST_LOOK
        while True:
            async with self._database.read() as connection:
                earlier = await previous_call(connection, call.claim.id)
            if earlier is None:
                return None
            if not earlier.is_valid:
                async with self._database.write() as connection:
                    await delete_claim(connection, call.claim.id, earlier)
                return None
            if earlier.fingerprint != call.claim.fingerprint or earlier.status is not None:
                return self._answer(call, earlier)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)

    async def make(self, call: IdempotentCall, work: Callable[[], Awaitable[Answer]]) -> tuple[Answer, bool]:
        """Do something in one transaction with its outcome, unless it has been done.

        Returns:
            The answer, and whether it is an earlier one's.

        Raises:
            ApiError: What `work` raises, and then nothing has been done; or the key was used for something else (422).
        """
        async with self._database.unit_of_work() as connection:
            while not await insert_claims(
                connection, [call.claim]
            ):  # waits for another transaction that has just taken it
                earlier = await previous_call(connection, call.claim.id)
                if earlier is not None and earlier.is_valid:
                    return self._answer(call, earlier), True
                if earlier is not None:
                    await delete_claim(connection, call.claim.id, earlier)
            answer = await work()
            outcome = Outcome(claim=call.claim, status=answer.status, body=answer.body)
            await store_outcomes(connection, [outcome])
            return answer, False

    def _answer(self, call: IdempotentCall, earlier: PreviousCall) -> Answer:
        if earlier.fingerprint != call.claim.fingerprint:
            raise ApiError(422, "this Idempotency-Key came with another request before; use a new key for each request")
        assert earlier.status is not None
        if earlier.body is not None:
            return Answer(earlier.status, earlier.body)
        self._let_go()
        if call.claim.id in self._held:
            return Answer(earlier.status, self._held[call.claim.id][1])
        raise ApiError(
            422, "this call was made before with `save: false`, so that its answer is gone; use a new Idempotency-Key"
        )

    def _hold(self, id: str, body: bytes) -> None:
        _, replaced = self._held.pop(id, (0, b""))
        self._held[id] = (self._clock() + HOLD_SECONDS, body)
        self._held_bytes += len(body) - len(replaced)
        self._let_go()

    def _let_go(self) -> None:
        now = self._clock()
        while self._held:
            id, (until, body) = next(iter(self._held.items()))
            if until > now and self._held_bytes <= MAX_HELD_BYTES:
                return
            del self._held[id]
            self._held_bytes -= len(body)

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEANUP_SECONDS)
            self._let_go()
            with suppress(Exception):  # the next round comes
                while await self._forget_some() == CLEANUP_ROWS:
                    pass

    async def _forget_some(self) -> int:
        async with self._database.write() as connection:
            return await delete_expired(connection, CLEANUP_ROWS)
