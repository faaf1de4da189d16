"""A transport that notes when each read arrived, and hands out reads in batches.

To wake a task and to decode one token with cold processor caches costs several times what receiving the token does. So
most reads are only stamped and kept while their stream waits for more. The stream gets them together, one `read` after
another, each with the time of its arrival.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from time import perf_counter

from ..errors import ApiConnectionError
from ..transport.aiohttp_transport import AiohttpResponse
from ..transport.base import ResponseStream, Transport, WrappedResponse
from ..wire.requests import HttpRequest

_MAX_KEPT = 32
"""Reads that are kept. Decoding more of them at once would delay the other streams."""

_MAX_AGE = 1.0
"""Seconds for which reads are kept. Only decoding shows whether they have tokens, without which a timeout runs on."""


class TimedTransport:
    """Sends requests with another transport; the responses are `TimedResponse`."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: HttpRequest, timeout: float | None) -> TimedResponse:
        """Send a request; see `Transport.send`."""
        return TimedResponse(await self._inner.send(request, timeout))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()


class TimedResponse(WrappedResponse):
    """A response; see `ResponseStream`.

    Attributes:
        arrived: When the bytes of the last `read` arrived, in seconds of `time.perf_counter`.
    """

    def __init__(self, inner: ResponseStream) -> None:
        super().__init__(inner)
        self._kept: list[bytes] = []
        self._times = array("d")
        self._limit = 0  # how many reads are kept, and until when
        self._until = 0.0
        self._cancelled = False
        self.arrived = 0.0

    async def read(self, timeout: float | None) -> bytes:
        """Return the bytes of one read; see `ResponseStream.read`.

        When the caller is cancelled, it first gets the reads that arrived before.
        """
        if not self._kept:
            if self._cancelled:
                raise asyncio.CancelledError
            # Streams that begin together would otherwise all decode at the same moment, which delays their next tokens.
            share = random.uniform(0.5, 1)
            self._limit, self._until = int(share * _MAX_KEPT), perf_counter() + share * _MAX_AGE
            try:
                data = await self._inner.read(timeout)
            except (TimeoutError, ApiConnectionError):
                if not self._kept:
                    raise  # else the next read raises it again
            except asyncio.CancelledError:
                if not self._kept:
                    raise
                self._cancelled = True
            else:
                # From now on: the first bytes decide whether this is a stream.
                if isinstance(self._inner, AiohttpResponse):
                    self._inner.on_data = self._keep
                if not self._kept:
                    self.arrived = perf_counter()
                    return data
                self._times.append(perf_counter())
                self._kept.append(data)
            self._kept.reverse()
            self._times.reverse()
        return self.take()

    def take(self) -> bytes:
        """Return the bytes of a read that was kept, which `has_kept` announces."""
        self.arrived = self._times.pop()
        return self._kept.pop()

    @property
    def has_kept(self) -> bool:
        """Whether the next `read` returns at once."""
        return bool(self._kept)

    def _keep(self, data: bytes) -> bool:
        """Stamp and keep a read that arrived while `read` waits. Return False to wake the reader instead."""
        now = perf_counter()
        kept = self._kept
        if (
            len(kept) >= self._limit
            or now > self._until
            or not data.startswith(b"data: {")
            # The reader learns at once that a sample has ended, since it may stop reading. Both forms are usual.
            or data.rfind(b'finish_reason":"') > 0
            or data.rfind(b'finish_reason": "') > 0
        ):
            return False
        self._times.append(now)
        kept.append(data)
        return True

    def close(self) -> None:
        """Close the connection; see `ResponseStream.close`."""
        self._inner.close()

    async def aclose(self) -> None:
        """Close the connection; see `ResponseStream.aclose`."""
        await self._inner.aclose()
