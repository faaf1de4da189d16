"""What a transport must do: move bytes, and translate its library's exceptions.

The client and the server's providers know HTTP through these two protocols only. A transport of
your own goes into ``AsyncHumanloop(transport=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..wire.requests import HttpRequest


class ResponseStream(Protocol):
    """An answer whose status and headers have come, and whose body is still to be read.

    Attributes:
        status: HTTP status code.
        reason: The status line's reason phrase, "" when there is none.
        headers: The headers; looking one up must not depend on its case.
    """

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...

    async def read(self, timeout: float | None) -> bytes:
        """The bytes that have arrived, at least one; ``b""`` at the end of the body, and after it.

        Args:
            timeout: Longest wait, in seconds; None waits for as long as it takes.

        Raises:
            TimeoutError: Nothing came in time; the response is of no further use.
            ApiConnectionError: The connection broke, or was closed. What came before is read first.

        A cancelled read loses no bytes.
        """
        ...

    def close(self) -> None:
        """Close the connection at once, without waiting and from any state; twice does no harm.

        A body that was read to its end has given its connection back to the pool, and keeps it.
        """
        ...

    async def aclose(self) -> None:
        """`close`, and wait until everything it held is released. Not cancelled half-way."""
        ...


class Transport(Protocol):
    """Sends requests. Redirects are never followed, statuses never judged, nothing retried."""

    async def send(self, request: HttpRequest, timeout: float | None) -> ResponseStream:
        """Send a request and wait for the answer's headers.

        Args:
            timeout: Longest wait for the headers, in seconds; None waits for as long as it takes.

        Raises:
            TimeoutError: The headers did not come in time.
            ApiConnectionError: No connection, or it broke.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection; twice does no harm."""
        ...


def words_of(exc: BaseException) -> str:
    """What an exception says, or what it is."""
    return str(exc) or type(exc).__name__
