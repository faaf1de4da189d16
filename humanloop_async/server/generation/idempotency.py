"""Idempotent calls: a request that repeats an ``Idempotency-Key`` gets the response of the first one.

The first request to store the key runs the call, on whatever server process; the others wait for its outcome. A
generation stores the key with its running logs, and the outcome with the results of the last ones, each in one
transaction. Other operations store their changes, the key and the outcome in one. So an outcome exists if and only if
its effects do, even after a crash: the claim of a process that died is void once the lease of that process expires.

A generation that such a crash interrupted runs again from the start, under new ids. The samples that had finished stay
in the logs: they were generated and paid for, and the client may have received them. To generate only the missing
samples would be another call, because providers sample, count and seed the `n` samples of a call together.

Outcomes that could differ on retry are not stored: requests rejected before any work, 429, 5xx, interrupted calls. The
response of a generation with ``save: false`` must not be stored. Its process keeps it in memory for a while, which is
enough for a client that lost its connection; after that, a repetition is rejected (422) and not generated again. The
response of a call without a project, which is not logged, is stored, but only for as long.

Deleting a log or a project invalidates the stored responses of the generations that created its logs: the text leaves
the database at once, and a repetition gets a 404. Stored responses of other operations contain little more than the
request, which one must have in order to repeat it; they are deleted when they expire.
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

MAX_CACHED_BYTES = 16 * 1024 * 1024
"""Most memory for the responses that must not be stored."""

CACHE_SECONDS = 600.0
"""How long such a response stays in memory, and that of a call without a project in the database."""

CLEANUP_SECONDS, CLEANUP_ROWS = 60.0, 1000
"""How often expired keys are deleted, in seconds, and most of them in one transaction."""

_MIN_POLL, _MAX_POLL = 0.02, 0.5  # seconds between two polls for the outcome of a running call


class StoredResponse(Struct, frozen=True):
    """The status and the JSON body of a response."""

    status: int
    body: bytes


class IdempotentCall(Struct, frozen=True):
    """An idempotent call, identified by the request's ``Idempotency-Key``.

    Attributes:
        cache: Keeps a response that must not be stored, by the id of its claim.
    """

    claim: Claim
    cache: Callable[[str, bytes], None]

    def succeeded(self, body: bytes, *, save: bool, is_logged: bool) -> Outcome:
        """Return the outcome of a call that succeeded."""
        if not save:
            self.cache(self.claim.id, body)
        expires_at = None
        if not is_logged:
            expires_at = min(self.claim.expires_at, datetime.now(UTC) + timedelta(seconds=CACHE_SECONDS))
        return Outcome(claim=self.claim, status=200, body=body if save else None, expires_at=expires_at)

    def failed(self, error: ApiError | None) -> Outcome:
        """Return the outcome of a call that failed, or that was interrupted if `error` is None."""
        if error is None or is_retryable(error.status):
            return Outcome(claim=self.claim, status=None)
        return Outcome(claim=self.claim, status=error.status, body=error.body())


class Idempotency:
    """The idempotency keys of a database, for one server process. An async context manager.

    Args:
        ttl: Seconds until a key expires.
    """

    def __init__(self, database: Database, log_writer: LogWriter, ttl: float) -> None:
        self._database = database
        self._owner = log_writer.owner
        self._ttl = timedelta(seconds=ttl)
        self._cached: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # (expiry, body), oldest first
        self._cached_bytes = 0
        self._clock = asyncio.get_running_loop().time

    async def __aenter__(self) -> Self:
        self._cleaning = asyncio.create_task(self._clean())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._cleaning.cancel()
        await asyncio.wait([self._cleaning], timeout=1)  # its statement may wait for the database

    def identify(self, request: web.Request, key_id: str, body: bytes) -> IdempotentCall | None:
        """Return the idempotent call of a request, or None if it has no ``Idempotency-Key``.

        Args:
            request: The request, for its header, method and URL.
            key_id: The id of the caller's API key; idempotency keys of different callers are independent.
            body: The request's body, as received.

        Raises:
            ApiError: The key is too long (422).
        """
        key = request.headers.get("Idempotency-Key")
        if not key:
            return None
        if len(key) > MAX_KEY_CHARS:
            raise ApiError(422, f"the Idempotency-Key has {len(key)} characters; send at most {MAX_KEY_CHARS}")
        content = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode(errors="surrogateescape"))
        content.update(body)
        claim = Claim(
            id=hashlib.sha256(f"{key_id} {key}".encode(errors="surrogateescape")).hexdigest(),
            fingerprint=content.hexdigest(),
            owner=self._owner,
            expires_at=datetime.now(UTC) + self._ttl,
        )
        return IdempotentCall(claim, self._cache)

    async def previous_response(self, call: IdempotentCall) -> StoredResponse | None:
        """Wait for the previous call with the same key and return its response; None if there is none.

        Raises:
            ApiError: The key was used for a different request, or the response was not stored (422).
        """
        pause = _MIN_POLL
        while True:
            async with self._database.read() as connection:
                previous = await previous_call(connection, call.claim.id)
            if previous is None:
                return None
            if not previous.is_valid:
                async with self._database.write() as connection:
                    await delete_claim(connection, call.claim.id, previous)
                return None
            if previous.fingerprint != call.claim.fingerprint or previous.status is not None:
                return self._response(call, previous)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_POLL)

    async def run_once(
        self, call: IdempotentCall, work: Callable[[], Awaitable[StoredResponse]]
    ) -> tuple[StoredResponse, bool]:
        """Run `work` in one transaction with storing its outcome, unless a previous call has done so.

        Returns:
            The response, and whether it is the previous call's.

        Raises:
            ApiError: `work` raised it, and nothing was stored; or the key was used for a different request (422).
        """
        async with self._database.unit_of_work() as connection:
            # The insert waits for other transactions that have just inserted the claim.
            while not await insert_claims(connection, [call.claim]):
                previous = await previous_call(connection, call.claim.id)
                if previous is not None and previous.is_valid:
                    return self._response(call, previous), True
                if previous is not None:
                    await delete_claim(connection, call.claim.id, previous)
            response = await work()
            await store_outcomes(connection, [Outcome(claim=call.claim, status=response.status, body=response.body)])
            return response, False

    def _response(self, call: IdempotentCall, previous: PreviousCall) -> StoredResponse:
        if previous.fingerprint != call.claim.fingerprint:
            raise ApiError(422, "this Idempotency-Key was used for a different request; use a new key for each request")
        assert previous.status is not None
        if previous.body is not None:
            return StoredResponse(previous.status, previous.body)
        self._evict()
        if call.claim.id in self._cached:
            return StoredResponse(previous.status, self._cached[call.claim.id][1])
        raise ApiError(
            422,
            "this call was made before with `save: false`, and its response is no longer available; "
            "use a new Idempotency-Key",
        )

    def _cache(self, id: str, body: bytes) -> None:
        _, replaced = self._cached.pop(id, (0, b""))
        self._cached[id] = (self._clock() + CACHE_SECONDS, body)
        self._cached_bytes += len(body) - len(replaced)
        self._evict()

    def _evict(self) -> None:
        now = self._clock()
        while self._cached:
            id, (expires, body) = next(iter(self._cached.items()))
            if expires > now and self._cached_bytes <= MAX_CACHED_BYTES:
                return
            del self._cached[id]
            self._cached_bytes -= len(body)

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEANUP_SECONDS)
            self._evict()
            with suppress(Exception):  # the next round tries again
                while await self._delete_expired() == CLEANUP_ROWS:
                    pass

    async def _delete_expired(self) -> int:
        async with self._database.write() as connection:
            return await delete_expired(connection, CLEANUP_ROWS)
