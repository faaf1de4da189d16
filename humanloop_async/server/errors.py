"""Error responses in the two forms of v4: ``{"detail": {...}}`` and ``{"detail": [...]}``."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from ..errors import PLATFORM
from ..types import ErrorDetail, ErrorResponse, HTTPValidationError, ValidationIssue
from .providers.base import ProviderError
from .request_context import current_request_id

BodyPath: TypeAlias = tuple[str | int, ...]
"""A path in the body of a request, such as ``(3, "feedback")``."""

_ERROR_TYPES = {
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
    """An error to send as the response to a request.

    Attributes:
        status: HTTP status code.
        message: Description for people: the problem, and a way to solve it.
        origin: The reporter of the error: a provider's name, or `PLATFORM`.
        retry_after: Seconds to wait before a retry, or None.
    """

    def __init__(self, status: int, message: str, origin: str = PLATFORM, retry_after: float | None = None) -> None:
        super().__init__(status, message, origin, retry_after)
        self.status, self.message, self.origin, self.retry_after = status, message, origin, retry_after

    def __str__(self) -> str:
        return self.message

    @classmethod
    def from_provider(cls, error: ProviderError) -> ApiError:
        """Return the error by which v4 reports a provider's error."""
        return cls(error.status, error.message, error.origin, error.retry_after)

    def body(self) -> bytes:
        """Return the JSON body, which is also the data of the event that ends a stream, without the request's id."""
        error_type = _ERROR_TYPES.get(self.status) or f"{HTTPStatus(self.status).name.lower()}_error"
        detail = ErrorDetail(type=error_type, message=self.message, code=self.status, origin=self.origin)
        return msgspec.json.encode(ErrorResponse(detail=detail))

    def headers(self) -> dict[str, str]:
        """Return the ``Retry-After`` header, in whole seconds, if `retry_after` is set."""
        return {} if self.retry_after is None else {"Retry-After": str(math.ceil(self.retry_after))}


class InvalidRequest(ApiError):
    """A request that does not fit its operation's schema (422), with one issue for each invalid field."""

    def __init__(self, issues: list[ValidationIssue]) -> None:
        super().__init__(422, "; ".join(issue.msg for issue in issues))
        self.issues = issues

    @classmethod
    def at(cls, *loc: str | int, msg: str, kind: str = "value_error") -> InvalidRequest:
        """Return an error with one issue, which concerns the field at a path in the body."""
        return cls([ValidationIssue(loc=["body", *loc], msg=msg, type=kind)])

    def body(self) -> bytes:
        return msgspec.json.encode(HTTPValidationError(detail=self.issues))


def with_request_id(body: bytes) -> bytes:
    """Add the current request's id to the body of an error, which may be one that was stored for repetitions."""
    id = current_request_id()
    return body if id is None else b'%b,"request_id":%b}' % (body[:-1], msgspec.json.encode(id))


@contextmanager
def error_location(loc: BodyPath) -> Generator[None]:
    """Prefix errors raised in the block with the request-body path they refer to."""
    try:
        yield
    except InvalidRequest as exc:
        issues = [replace(issue, loc=["body", *loc, *issue.loc[1:]]) for issue in exc.issues]
        raise InvalidRequest(issues) from exc
    except ApiError as exc:
        if not loc:
            raise
        message = f"{'.'.join(map(str, loc))}: {exc.message}"
        raise ApiError(exc.status, message, exc.origin, exc.retry_after) from exc
