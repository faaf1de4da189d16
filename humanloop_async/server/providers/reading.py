"""Helpers that every wire format uses to read a provider's JSON. No I/O."""

from __future__ import annotations

import json
import math
import re

import msgspec

from ...types import Json

MAX_TOKENS = 2**31 - 1
"""The largest count of tokens that a log can hold; `token_count` ignores larger ones."""

UNDECODABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""The exceptions of decoding bytes that are not the expected JSON."""

# Names that providers use in place of a status, in an error object that came with status 200.
_STATUS_OF_NAME = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_argument": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found": 404,
    "not_found_error": 404,
    "permission_denied": 403,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "unauthenticated": 401,
}
_MESSAGE_KEYS = ("error", "message", "detail", "msg", "errors", "error_message")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_INVISIBLE = re.compile(r"<(script|style|head)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


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


def tolerant_json(data: bytes) -> Json:
    """Decode JSON that strict decoders reject.

    Invalid UTF-8 becomes U+FFFD. Numbers that no type can hold, NaN and infinities become None. Strings may contain
    control characters. Lone surrogates stay in the strings: the other half may be in the next event.

    Raises:
        ValueError: The data is not JSON.
        RecursionError: The data is nested too deeply.
    """
    text = data.decode(errors="replace").strip("\ufeff \t\r\n")
    value: Json = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=lambda _: None, strict=False)
    return value


def _integer(digits: str) -> Json:
    return int(digits) if len(digits) < 19 else _number(digits)  # msgspec encodes integers of 64 bits at most


def _number(digits: str) -> Json:
    number = float(digits)
    return number if math.isfinite(number) else None


def join_surrogates(text: str) -> str:
    """Join the halves of surrogate pairs. A half without its other half becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def encodable(value: Json) -> Json:
    """Return JSON without lone surrogates, which UTF-8 cannot encode."""
    if isinstance(value, str):
        return join_surrogates(value)
    if isinstance(value, dict):
        return {join_surrogates(name): encodable(item) for name, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, list) else value


def repaired(data: bytes) -> bytes:
    """Return JSON that strict decoders accept, for bytes that `tolerant_json` can decode; it raises the same."""
    return msgspec.json.encode(encodable(tolerant_json(data)))


def decoded(data: bytes) -> Json:
    """Return the JSON of a body, or None if it has none."""
    try:
        found: Json = msgspec.json.decode(data)
    except UNDECODABLE:
        try:
            return encodable(tolerant_json(data))
        except UNDECODABLE:
            return None
    return found


def error_message(body: bytes) -> str:
    """Return the message in an error body: ``{"error": {"message": ...}}``, any similar JSON, HTML or text.

    The message is not shortened and may contain keys. Shortening it first could cut a key in two, which could then
    not be found any more.
    """
    value = decoded(body)
    if value is None or value == "":
        text = body.decode(errors="replace").strip()
        return "" if value == "" or text == "null" else _text_of_html(text)
    return _message(value)


def _message(value: Json) -> str:
    if isinstance(value, list):
        return "; ".join(filter(None, map(_message, value)))
    if not isinstance(value, dict):
        return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
    found = next((value[name] for name in _MESSAGE_KEYS if value.get(name)), None)
    if found is None:
        return msgspec.json.encode(value).decode() if value else ""
    message = _message(found)
    if nested := _nested(message):
        message = nested
    if isinstance(location := value.get("loc"), list):  # of a validation error
        message = f"{'.'.join(map(str, location))}: {message}"
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # of OpenRouter, for the error of the provider behind it
        raw = _message(metadata["raw"])
        message = f"{message}: {_nested(raw) or raw}"
    return message


def _nested(message: str) -> str:
    """Return the message of an error body that is the message of another one, or ""."""
    if not message.startswith("{"):
        return ""
    body = decoded(message.encode(errors="replace"))
    return _message(body) if isinstance(body, dict) and any(body.get(name) for name in _MESSAGE_KEYS) else ""


def _text_of_html(text: str) -> str:
    if not re.match(r"<(!doctype|html|head|body|\?xml)", text, re.IGNORECASE):
        return text
    title = _TITLE.search(text)
    visible = title[1] if title and title[1].strip() else _INVISIBLE.sub(" ", text)
    return " ".join(visible.split())


def error_status(error: Json) -> int:
    """Return the HTTP status that an error object names, by number or by name; 503 if it names none."""
    if isinstance(error, dict):
        for name in ("code", "status", "status_code", "http_status", "type"):
            value = error.get(name)
            if isinstance(value, str):
                value = int(value) if value.isascii() and value.isdecimal() and len(value) == 3 else value.lower()
                value = _STATUS_OF_NAME.get(value, value) if isinstance(value, str) else value
            if isinstance(value, int | float) and 400 <= value <= 599:
                return int(value)
        if isinstance(nested := error.get("error"), dict):
            return error_status(nested)
    return 503


def token_count(count: Json) -> int | None:
    """Return a count of tokens, or None if the value is not one. Some servers send it as text."""
    if isinstance(count, str) and count.isascii() and count.isdecimal() and len(count) < 19:
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count <= MAX_TOKENS:
        return None
    return int(count)


def redacted(message: str, key: str | None) -> str:
    """Return a provider's message without API keys.

    Some providers repeat a key that they reject, in full or with asterisks in its middle. A short key, such as "test",
    also occurs in ordinary text, so it is removed only where it follows a word such as "key".
    """
    if key and len(key) >= 16:
        message = message.replace(key, "...")
    elif key:
        pattern = rf"(?<![\w-]){re.escape(key)}(?![\w-])"
        if len(key) < 8:
            pattern = rf"(\b(?:key|token|bearer)\b(?:\W|\bprovided\b|\bis\b)*){pattern}"
        message = re.sub(pattern, r"\1..." if len(key) < 8 else "...", message, flags=re.IGNORECASE)
    return re.sub(r"\b(sk|pk)-(?=[\w-]*[\d*])[\w*-]{4,}", "...", message)
