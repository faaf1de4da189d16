"""Bodies of answers -> Structs, or the error that they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from ..errors import InvalidResponse, StatusError, status_error
from ..types import Json, Response, ResponseList
from .requests import drop_nulls
from .retry import parse_retry_after

ResponseT = TypeVar("ResponseT", bound=Response | ResponseList[Any] | None)
ItemT = TypeVar("ItemT", bound=Response)


def decode_response(kind: type[ResponseT], raw: bytes) -> ResponseT:
    """The answer to a call; `NoneType` stands for one with nothing to read.

    Raises:
        InvalidResponse: It is not what v4 documents; `body` holds its beginning.
    """
    if kind is NoneType:
        return cast("ResponseT", None)
    if get_origin(kind) is ResponseList:
        return cast("ResponseT", decode_list(get_args(kind)[0], raw))
    return cast("ResponseT", _decode(kind, raw))


def decode_list(kind: type[ItemT], raw: bytes) -> ResponseList[ItemT]:
    """The answer to a call whose answer is a list of these.

    Raises:
        InvalidResponse: It is not what v4 documents; `body` holds its beginning.
    """
    return ResponseList(_decode(list[kind], raw))  # type: ignore[valid-type]  # it is a value, not a hint


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _decode(kind: Any, raw: bytes) -> Any:
    try:
        return _decoder(kind).decode(raw)
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
