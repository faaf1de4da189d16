"""Decode response bodies into Structs, or into errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from ..errors import InvalidResponse, StatusError, status_error
from ..types import Json, Response, ResponseList, ResponseText
from .requests import drop_nulls
from .retry import parse_retry_after

ResponseT = TypeVar("ResponseT", bound=Response | ResponseList[Any] | ResponseText | None)
ItemT = TypeVar("ItemT", bound=Response)


def decode_response(kind: type[ResponseT], raw: bytes) -> ResponseT:
    """Decode the body of a response; for the kind `NoneType`, ignore it and return None.

    Raises:
        InvalidResponse: The body does not match the v4 schema; the error's `body` is its first 2,000 bytes, as text.
    """
    if kind is NoneType:
        return cast("ResponseT", None)
    if kind is ResponseText:
        return cast("ResponseT", ResponseText(_decode(str, raw)))
    if get_origin(kind) is ResponseList:
        return cast("ResponseT", decode_list(get_args(kind)[0], raw))
    return cast("ResponseT", _decode(kind, raw))


def decode_list(kind: type[ItemT], raw: bytes) -> ResponseList[ItemT]:
    """Decode a response body that is a list of `kind`.

    Raises:
        InvalidResponse: The body does not match the v4 schema; the error's `body` is its first 2,000 bytes, as text.
    """
    return ResponseList(_decode(list[kind], raw))  # type: ignore[valid-type]  # a runtime value, not a type hint


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
            error = InvalidResponse(f"the response does not match the v4 schema: {exc}")
            error.body = raw[:2000].decode(errors="replace")
            raise error from exc


def without_nulls(body: Json) -> Json:
    """Return a response or an event without null fields, at its top level and in the items of its ``data``."""
    if not isinstance(body, dict):
        return body
    fields = drop_nulls(body)
    if isinstance(data := fields.get("data"), list):
        fields["data"] = [drop_nulls(item) if isinstance(item, dict) else item for item in data]
    return fields


def decode_error(status: int, reason: str, headers: Mapping[str, str], raw: bytes) -> StatusError:
    """Return the error for a response outside 200-299, whose body may be JSON or anything else."""
    try:
        body: Json = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = raw.decode(errors="replace")
    error = status_error(status, body, reason=reason)
    error.headers = headers
    error.retry_after = parse_retry_after(headers)
    return error
