"""The request that the current task serves, for log lines and log rows."""

from __future__ import annotations

from contextvars import ContextVar

from msgspec import Struct


class RequestInfo(Struct, frozen=True):
    """A request.

    Attributes:
        id: The caller's ``X-Request-Id``, or a new id.
        path: The path, without the query; a long one is cut.
    """

    id: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} (request {self.id})"


current_request: ContextVar[RequestInfo | None] = ContextVar("current_request", default=None)


def current_request_id() -> str | None:
    """Return the id of the request that the current task serves; None outside of requests."""
    request = current_request.get()
    return None if request is None else request.id
