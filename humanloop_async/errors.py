"""Every exception that a call of this package can raise, in one tree.

::

    ApiException
    ├── InvalidArgument             an invalid argument (also a ValueError)
    ├── ClientClosed                a call on a closed client
    ├── ApiConnectionError          no connection, or a connection that broke before the response
    ├── ApiTimeoutError             a timeout expired (also a TimeoutError)
    │   ├── ConnectTimeout          no response headers within ``Timeout.connect``
    │   ├── FirstTokenTimeout       no first chunk within ``Timeout.first_token``
    │   ├── IdleTimeout             no further chunk within ``Timeout.idle``
    │   └── TotalTimeout            the whole call took longer than ``Timeout.total``
    ├── StatusError                 a response outside 200-299, or an error event inside a stream
    │   ├── BadRequestError         400
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── PayloadTooLargeError    413
    │   ├── UnprocessableEntityError 422
    │   ├── RateLimitError          429
    │   └── ServerError             500-599
    ├── InvalidResponse             a response of 200-299 that does not match the v4 schema
    └── StreamError                 an open stream failed
        ├── StreamTruncated         the connection ended before every sample finished
        ├── InvalidEvent            an event that does not match the v4 schema
        ├── EventTooLarge           an event larger than ``max_event_bytes``
        ├── BufferLimitExceeded     more unread chunks than ``max_buffered_bytes``
        ├── StreamBusy              two readers on one iterator
        └── StreamClosed            reading a stream that was closed early

Public calls never raise exceptions of the HTTP libraries or of the JSON decoder; those are the ``__cause__`` of one of
the errors above. Cancellation passes through unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .types.chats import ChatResponse
    from .types.completions import CompletionResponse
    from .types.shared import Json

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


PLATFORM = "Humanloop"
"""The `StatusError.origin` of errors that come from the server itself, and not from a provider."""

_MAX_ID = 128  # longest request id in a message


class ApiException(Exception):
    """Base class of every error of this package.

    Attributes:
        status: HTTP status code; None without a response, for example after a failed connection.
        reason: Reason phrase of the status line, or None.
        body: Body of the response: decoded if it was JSON, else text; None without a response.
        headers: Headers of the response; empty without a response.
        round_trip_time: Seconds from sending the request to the error; None if no request was sent.
        partial: The output that a stream delivered before the error, assembled into a response; None outside streams.
            The ``finish_reason`` of unfinished samples is None.
        retryable: Whether the same call may succeed later.
    """

    retryable: bool = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.status: int | None = None
        self.reason: str | None = None
        self.body: Any = None
        self.headers: Mapping[str, str] = {}
        self.round_trip_time: float | None = None
        self.partial: CompletionResponse | ChatResponse | None = None

    @property
    def request_id(self) -> str | None:
        """The id of the request in the server's log: the body's ``request_id``, or the header ``X-Request-Id``."""
        body: Json = self.body
        id = body.get("request_id") if isinstance(body, dict) else None
        return id if isinstance(id, str) and id else self.headers.get("X-Request-Id")

    def __str__(self) -> str:
        text, id = super().__str__(), self.request_id
        return text if id is None or id in text else f"{text} (request {id[:_MAX_ID]})"


class InvalidArgument(ApiException, ValueError):
    """An argument is invalid; no request was sent."""


class ClientClosed(ApiException):
    """The client is closed; create another one."""


class ApiConnectionError(ApiException):
    """The server is unreachable, or the connection broke before the response was complete."""

    retryable = True


class ApiTimeoutError(ApiException, TimeoutError):
    """One of the limits of `Timeout` expired."""

    retryable = True


class ConnectTimeout(ApiTimeoutError):
    """The response headers did not arrive within `Timeout.connect`."""


class FirstTokenTimeout(ApiTimeoutError):
    """The first chunk did not arrive within `Timeout.first_token`. Keep-alive comments do not count."""


class IdleTimeout(ApiTimeoutError):
    """No further chunk arrived within `Timeout.idle`. Keep-alive comments do not count."""


class TotalTimeout(ApiTimeoutError):
    """The whole call took longer than `Timeout.total`."""


class StatusError(ApiException):
    """The server reported an error: a status outside 200-299, or an error event inside a stream.

    Attributes:
        type: The v4 error type, such as ``unprocessable_entity_error``; or None.
        origin: Name of the provider that reported the error, or ``Humanloop`` for the server; or None.
        host: Host and port of the server that was called; or None.
        retry_after: Seconds from the ``Retry-After`` header; None without that header.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.type: str | None = None
        self.origin: str | None = None
        self.host: str | None = None
        self.retry_after: float | None = None

    def __str__(self) -> str:
        text = super().__str__()
        if self.status is None:
            return text
        # v4 calls every server "Humanloop", not only the one of that company.
        source = self.host if self.origin == PLATFORM else self.origin
        return f"{self.status} from {source}: {text}" if source else f"{self.status}: {text}"


class BadRequestError(StatusError):
    """400: the server could not parse the request."""


class AuthenticationError(StatusError):
    """401: the API key is missing or invalid; `origin` names the provider that rejected it, or is ``Humanloop``."""


class PermissionDeniedError(StatusError):
    """403: the API key lacks permission for this operation."""


class NotFoundError(StatusError):
    """404: the project, config, or other object does not exist."""


class ConflictError(StatusError):
    """409: the request conflicts with another one."""


class PayloadTooLargeError(StatusError):
    """413: the request body exceeds the server's limit."""


class UnprocessableEntityError(StatusError):
    """422: the request is invalid; ``body["detail"]`` names the fields."""


class RateLimitError(StatusError):
    """429: too many requests; `retry_after` is the requested delay, if any."""


class ServerError(StatusError):
    """500-599: the server, or the provider behind it, failed."""


class InvalidResponse(ApiException):
    """A response of 200-299 whose body does not match the v4 schema; `body` is its text."""


class StreamError(ApiException):
    """An open stream failed; `partial` is the output received before the failure."""


class StreamTruncated(StreamError):
    """The connection ended before every sample had its ``finish_reason``."""

    retryable = True


class InvalidEvent(StreamError):
    """An event that does not match the v4 schema.

    Attributes:
        data: Data of the event as received, cut to 1,000 bytes.
    """

    def __init__(self, message: str = "", data: bytes = b"") -> None:
        super().__init__(message)
        self.data: bytes = data[:1000]


class EventTooLarge(StreamError):
    """An event is larger than ``max_event_bytes``.

    Attributes:
        limit: The limit, in bytes.
        events: Data of the complete events before it in the same read.
    """

    def __init__(self, message: str = "", limit: int = 0, events: list[bytes] | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.events: list[bytes] = events or []


class BufferLimitExceeded(StreamError):
    """The unread chunks of a stream exceed ``max_buffered_bytes``."""


class StreamBusy(StreamError):
    """A second task or thread reads from an iterator that is already in use."""


class StreamClosed(StreamError):
    """The stream was closed before its end; no more chunks can be read."""


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
    """Return whether a request that failed with this status may succeed later: 408, 409, 429 and 500-599.

    501 and 505 are excluded: retrying cannot help if the server does not support the operation.
    """
    return status in {408, 409, 429} or (500 <= status <= 599 and status not in {501, 505})


def status_error(status: int, body: Json, *, reason: str | None = None) -> StatusError:
    """Create the `StatusError` for a status code and a decoded v4 error body.

    Args:
        status: HTTP status code, or the ``code`` of an error event.
        body: ``{"detail": ...}``, where ``detail`` is a list, an object or text; or any other body.
        reason: Reason phrase of the status line.
    """
    detail = body.get("detail", body) if isinstance(body, dict) else body
    kind = origin = None
    if isinstance(detail, dict):
        kind, origin = detail.get("type"), detail.get("origin")
    try:
        message = _message(detail) or reason or "no error message"
    except RecursionError:  # the decoder accepts slightly deeper nesting than str()
        message = "the error message is nested too deeply to show; see `body`"
    by_class = ServerError if 500 <= status <= 599 else StatusError
    error = _BY_STATUS.get(status, by_class)(message[:2000])
    error.status, error.reason, error.body = status, reason, body
    error.retryable = is_retryable(status)
    error.type = kind if isinstance(kind, str) else None
    error.origin = origin if isinstance(origin, str) else None
    return error


def _message(detail: Json) -> str:
    if isinstance(detail, list):
        return "; ".join(_issue_message(item) for item in detail)
    if isinstance(detail, dict):
        return str(detail.get("message") or detail)
    return "" if detail is None else str(detail)


def _issue_message(item: Json) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    path = ".".join(map(str, loc)) if isinstance(loc, list) else ""
    return f"{path}: {item.get('msg')}" if path else str(item.get("msg", item))
