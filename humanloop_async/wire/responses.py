"""Bodies of answers -> Structs, or the error that they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from ..errors import InvalidResponse, StatusError, status_error
from ..types import ChatResponse, CompletionResponse, Json
from .requests import drop_nulls
from .retry import parse_retry_after

ResponseT = TypeVar("ResponseT", bound=CompletionResponse | ChatResponse)

_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (CompletionResponse, ChatResponse)
}


def decode_response(kind: type[ResponseT], raw: bytes) -> ResponseT:
    """The answer to a call.

    Raises:
        InvalidResponse: It is not what v4 documents; `body` holds its beginning.
    """
    try:
        response: ResponseT = _decoders[kind].decode(raw)
        return response
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        try:
            return msgspec.convert(without_nulls(msgspec.json.decode(raw)), kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            error = InvalidResponse(f"the answer is not what v4 documents: {exc}")
            error.body = raw[:2000].decode(errors="replace")
            raise error from exc


def without_nulls(body: Json) -> Json:
    """A response or an event without its null fields, in itself and in its ``data``: null means absent."""
    if not isinstance(body, dict):
        return body
    fields = drop_nulls(body)
    if isinstance(data := fields.get("data"), list):
        fields["data"] = [drop_nulls(item) if isinstance(item, dict) else item for item in data]
    return fields


def decode_error(status: int, reason: str, headers: Mapping[str, str], raw: bytes) -> StatusError:
    """The error for an answer outside 200-299; its body may be JSON or anything else."""
    try:
        body: Json = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = raw.decode(errors="replace")
    error = status_error(status, body, reason=reason)
    error.headers = headers
    error.retry_after = parse_retry_after(headers)
    return error
