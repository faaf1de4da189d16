"""Every exception that a call of this package can raise, in one tree.

::

    ApiException
    ├── InvalidArgument             an argument that cannot be used (also a ValueError)
    ├── ClientClosed                a call on a closed client
    ├── ApiConnectionError          no connection, or it broke before an answer
    ├── ApiTimeoutError             a clock ran out (also a TimeoutError)
    │   ├── ConnectTimeout          no response headers within ``Timeout.connect``
    │   ├── FirstTokenTimeout       no first chunk within ``Timeout.first_token``
    │   ├── IdleTimeout             silence between chunks beyond ``Timeout.idle``
    │   └── TotalTimeout            the whole call took longer than ``Timeout.total``
    ├── StatusError                 an answer outside 200-299, or an error event inside a stream
    │   ├── BadRequestError         400
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── PayloadTooLargeError    413
    │   ├── UnprocessableEntityError 422
    │   ├── RateLimitError          429
    │   └── ServerError             500-599
    ├── InvalidResponse             an answer of 200-299 that is not what v4 documents
    └── StreamError                 an opened stream went wrong
        ├── StreamTruncated         the connection ended before every sample finished
        ├── InvalidEvent            an event that breaks the stream's contract
        ├── EventTooLarge           an event above ``max_event_bytes``
        ├── BufferLimitExceeded     unread samples above ``max_buffered_bytes``
        ├── StreamBusy              two readers on one iterator
        └── StreamClosed            reading a stream that was closed early

Exceptions of the HTTP libraries and of the decoder never leave a public call; they are the
``__cause__`` of one of these. Cancellation is the exception to that rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .types import ChatResponse, CompletionResponse, Json

__all__ = [
    "ApiConnectionError",
    "ApiException",
    "ApiTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BufferLimitExceeded",
    "ClientClosed",
    "ConflictError",
    "ConnectTimeout",
    "EventTooLarge",
    "FirstTokenTimeout",
    "IdleTimeout",
    "InvalidArgument",
    "InvalidEvent",
    "InvalidResponse",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "ServerError",
    "StatusError",
    "StreamBusy",
    "StreamClosed",
    "StreamError",
    "StreamTruncated",
    "TotalTimeout",
    "UnprocessableEntityError",
    "is_retryable",
    "status_error",
]


class ApiException(Exception):
    """Root of every error of this package.

    Attributes:
        status: HTTP status code; None when there was no answer, as when the connection failed.
        reason: The status line's reason phrase, or None.
        body: The answer's body: decoded when it was JSON, else text; None without an answer.
        headers: The answer's headers; empty without an answer.
        round_trip_time: Seconds from sending the request until the error; None when not sent.
        partial: What a stream had delivered, assembled; None outside streams. Samples that
            had not ended have a ``finish_reason`` of None.
        retryable: Whether the same call may succeed later.
    """

    retryable: bool = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.status: int | None = None
        self.reason: str | None = None
        self.body: Json = None
        self.headers: Mapping[str, str] = {}
        self.round_trip_time: float | None = None
        self.partial: CompletionResponse | ChatResponse | None = None


class InvalidArgument(ApiException, ValueError):
    """An argument cannot be used as it is; nothing was sent."""


class ClientClosed(ApiException):
    """The client was closed; make a new one."""


class ApiConnectionError(ApiException):
    """The server could not be reached, or the connection broke before the answer was whole."""

    retryable = True


class ApiTimeoutError(ApiException, TimeoutError):
    """One of the clocks of `Timeout` ran out."""

    retryable = True


class ConnectTimeout(ApiTimeoutError):
    """The response's headers did not come within `Timeout.connect`."""


class FirstTokenTimeout(ApiTimeoutError):
    """The first chunk did not come within `Timeout.first_token`. Comments do not count."""


class IdleTimeout(ApiTimeoutError):
    """No further chunk came within `Timeout.idle`. Comments do not count."""


class TotalTimeout(ApiTimeoutError):
    """The whole call took longer than `Timeout.total`."""


class StatusError(ApiException):
    """The server refused: a status outside 200-299, or an error event inside a stream.

    Attributes:
        type: The v4 error type, such as ``unprocessable_entity_error``; None when the body had none.
        origin: Who refused: a provider's name, or ``Humanloop`` for the server itself.
        retry_after: Seconds the server asked to wait; None when it did not say.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.type: str | None = None
        self.origin: str | None = None
        self.retry_after: float | None = None


class BadRequestError(StatusError):
    """400: the request could not be read."""


class AuthenticationError(StatusError):
    """401: the key is missing or wrong; `origin` tells whose key."""


class PermissionDeniedError(StatusError):
    """403: the key may not do this."""


class NotFoundError(StatusError):
    """404: no such project, config, or other object."""


class ConflictError(StatusError):
    """409: the request collides with another one."""


class PayloadTooLargeError(StatusError):
    """413: the request's body is above the server's limit."""


class UnprocessableEntityError(StatusError):
    """422: the request was read, and is not valid. ``body["detail"]`` says where."""


class RateLimitError(StatusError):
    """429: too many requests; `retry_after` may say when to come back."""


class ServerError(StatusError):
    """500-599: the server or the provider behind it failed."""


class InvalidResponse(ApiException):
    """An answer of 200-299 whose body is not what v4 documents; `body` holds it as text."""


class StreamError(ApiException):
    """An opened stream went wrong; `partial` holds what had arrived."""


class StreamTruncated(StreamError):
    """The connection ended before every sample had its ``finish_reason``."""

    retryable = True


class InvalidEvent(StreamError):
    """An event that is not what v4 documents.

    Attributes:
        data: The event's data as received, at most 1,000 bytes.
    """

    def __init__(self, message: str = "", data: bytes = b"") -> None:
        super().__init__(message)
        self.data: bytes = data[:1000]


class EventTooLarge(StreamError):
    """An event is larger than ``max_event_bytes``.

    Attributes:
        limit: The limit, in bytes.
        events: Data of the events that were complete before it in the same bytes.
    """

    def __init__(self, message: str = "", limit: int = 0, events: list[bytes] | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.events: list[bytes] = events or []


class BufferLimitExceeded(StreamError):
    """Samples that nobody reads hold more than ``max_buffered_bytes``."""


class StreamBusy(StreamError):
    """A second reader on an iterator that is already being read."""


class StreamClosed(StreamError):
    """The stream was closed before its end, so there is nothing left to read."""


_BY_STATUS: dict[int, type[StatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def is_retryable(status: int) -> bool:
    """Whether the same request may get another answer later: 408, 409, 429 and 500-599.

    Except 501 and 505: a server that does not know the operation will not learn it by being asked again.
    """
    return status in {408, 409, 429} or (500 <= status <= 599 and status not in {501, 505})


def status_error(status: int, body: Json, *, reason: str | None = None) -> StatusError:
    """The `StatusError` for a status code and a decoded v4 error body.

    Args:
        status: HTTP status code, or the ``code`` of an error event.
        body: ``{"detail": ...}`` with ``detail`` a list, an object or text; or any other body.
        reason: The status line's reason phrase.
    """
    detail = body.get("detail", body) if isinstance(body, dict) else body
    kind = origin = None
    if isinstance(detail, dict):
        kind, origin = detail.get("type"), detail.get("origin")
    try:
        words = _words(detail) or reason or "no explanation"
    except RecursionError:  # decoding goes a little deeper than str() does
        words = "an explanation nested too deeply to show"
    by_class = ServerError if 500 <= status <= 599 else StatusError
    error = _BY_STATUS.get(status, by_class)(f"{status}{f' from {origin}' if origin else ''}: {words[:2000]}")
    error.status, error.reason, error.body = status, reason, body
    error.retryable = is_retryable(status)
    error.type = kind if isinstance(kind, str) else None
    error.origin = origin if isinstance(origin, str) else None
    return error


def _words(detail: Json) -> str:
    if isinstance(detail, list):
        return "; ".join(_validation_words(item) for item in detail)
    if isinstance(detail, dict):
        return str(detail.get("message") or detail)
    return "" if detail is None else str(detail)


def _validation_words(item: Json) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    where = ".".join(map(str, loc)) if isinstance(loc, list) else ""
    return f"{where}: {item.get('msg')}" if where else str(item.get("msg", item))
