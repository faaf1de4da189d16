"""Helpers that every wire format uses to read a provider's JSON. No I/O."""

from __future__ import annotations

import msgspec

from ...types import Json

MAX_TOKENS = 2**31 - 1
"""The largest count of tokens that a log can hold; `token_count` ignores larger ones."""

UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""The exceptions of decoding bytes that are not the expected JSON."""


class MalformedResponse(ValueError):
    """A response that differs from the provider's documentation, or contradicts an earlier part of itself."""

    @classmethod
    def undecodable(cls, exc: Exception, data: bytes) -> MalformedResponse:
        """Return the error for bytes that cannot be decoded; its message contains the bytes."""
        return cls(f"{exc}: {data.decode(errors='replace')}")


class ErrorEvent(Exception):
    """An error object in place of a response or an event.

    Attributes:
        status: The provider's HTTP status; 503 if the object names none.
        message: The provider's message.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


def decoded(data: bytes) -> Json:
    """Return the JSON of a body, or None if it has none or contains numbers that no type can hold."""
    try:
        found: Json = msgspec.json.decode(data)
    except UNDECODABLE:
        return None
    return found


def error_message(body: bytes) -> str:
    """Return the message in an error body: ``{"error": {"message": ...}}``, a similar object, or text.

    The message is not shortened and may contain keys. Shortening it first could cut a key in two, which could then
    not be found any more.
    """
    message = decoded(body)
    if message is None:
        return body.decode(errors="replace").strip()
    for name in ("error", "message", "detail"):
        if isinstance(message, dict) and message.get(name):
            message = message[name]
    return message if isinstance(message, str) else msgspec.json.encode(message).decode()


def token_count(count: Json) -> int | None:
    """Return a count of tokens, or None if the value is not one."""
    return int(count) if isinstance(count, int | float) and 0 <= count <= MAX_TOKENS else None
