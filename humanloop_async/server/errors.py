"""Answers other than 200, in v4's two shapes: ``{"detail": {...}}`` and ``{"detail": [...]}``."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from ..types import ErrorDetail, ErrorResponse, HTTPValidationError, ValidationIssue
from .providers.base import PLATFORM, ProviderError

BodyPath: TypeAlias = tuple[str | int, ...]
"""A path in a request's body: ``(3, "feedback")``."""

_TYPES = {
    400: "bad_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "method_not_allowed_error",
    413: "payload_too_large_error",
    422: "unprocessable_entity_error",
    429: "rate_limit_error",
    500: "internal_server_error",
    501: "not_implemented_error",
    503: "service_unavailable_error",
}


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status code.
        message: What is wrong and what to do, for people.
        origin: Whose word it is: a provider's name, or `PLATFORM`.
        retry_after: Seconds to wait before trying again, or None.
    """

    def __init__(self, status: int, message: str, origin: str = PLATFORM, retry_after: float | None = None) -> None:
        super().__init__(status, message, origin, retry_after)
        self.status, self.message, self.origin, self.retry_after = status, message, origin, retry_after

    def __str__(self) -> str:
        return self.message

    @classmethod
    def from_provider(cls, error: ProviderError) -> ApiError:
        """A provider's refusal or failure, as v4 passes it on."""
        return cls(error.status, error.message, error.origin, error.retry_after)

    def body(self) -> bytes:
        """The JSON body; also the data of the event that ends a stream."""
        kind = _TYPES.get(self.status) or f"{HTTPStatus(self.status).name.lower()}_error"
        return msgspec.json.encode(
            ErrorResponse(detail=ErrorDetail(type=kind, message=self.message, code=self.status, origin=self.origin))
        )

    def headers(self) -> dict[str, str]:
        """``Retry-After`` in whole seconds, when there is something to wait for."""
        return {} if self.retry_after is None else {"Retry-After": str(math.ceil(self.retry_after))}


class InvalidRequest(ApiError):
    """A request that does not fit its operation's schema (422), with one entry for each place."""

    def __init__(self, issues: list[ValidationIssue]) -> None:
        super().__init__(422, "; ".join(issue.msg for issue in issues))
        self.issues = issues

    @classmethod
    def at(cls, *loc: str | int, msg: str, kind: str = "value_error") -> InvalidRequest:
        """One problem, of the body's field at that path."""
        return cls([ValidationIssue(loc=["body", *loc], msg=msg, type=kind)])

    def body(self) -> bytes:
        return msgspec.json.encode(HTTPValidationError(detail=self.issues))


@contextmanager
def error_location(loc: BodyPath) -> Generator[None]:
    """Let refusals inside the block say where in the body that is which they are about."""
    try:
        yield
    except InvalidRequest as exc:
        places = [["body", *loc, *issue.loc[1:]] for issue in exc.issues]
        raise InvalidRequest([replace(issue, loc=at) for issue, at in zip(exc.issues, places, strict=True)]) from exc
    except ApiError as exc:
        if not loc:
            raise
        message = f"{'.'.join(map(str, loc))}: {exc.message}"
        raise ApiError(exc.status, message, exc.origin, exc.retry_after) from exc
