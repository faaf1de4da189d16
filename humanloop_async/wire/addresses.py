"""Path and query of a call: parameters -> address for the client, query -> Struct for the server."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from functools import cache
from typing import TypeVar, cast
from urllib.parse import quote

import msgspec
from msgspec import inspect

from ..errors import InvalidArgument
from .operations import AnyOperation
from .requests import InvalidBody, validation_issue

StructT = TypeVar("StructT", bound=msgspec.Struct)

_KEYED = re.compile(r"(\w+)-(.+)_filter", re.DOTALL)
"""A filter with a name of the caller's in it: ``feedback-rating_filter`` is ``feedback_filter["rating"]``."""


def take_address(operation: AnyOperation, fields: dict[str, object]) -> str:
    """The path and query of a call, relative to the base URL; its parameters are taken out of `fields`.

    Raises:
        InvalidArgument: A parameter cannot stand in an address, or one of the path is missing.
    """
    path = operation.path
    for name in operation.path_parameters:
        path = path.replace(f"{{{name}}}", _segment(name, fields.pop(name, None)))
    if operation.query is None:
        return path
    pairs: list[str] = []
    for name in operation.query.__struct_fields__:
        value = fields.pop(name, None)
        if isinstance(value, Mapping):
            for key, item in cast("Mapping[str, object]", value).items():
                pairs += _pairs(name.replace("_filter", f"-{key}_filter"), item)
        else:
            pairs += _pairs(name, value)
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def _segment(name: str, value: object) -> str:
    # "" and the dot segments would make it the address of something else.
    if not isinstance(value, str) or value in {"", ".", ".."}:
        raise InvalidArgument(f"{name}={value!r}: give the id of an object")
    return _quoted(name, value)


def _pairs(name: str, value: object) -> list[str]:
    items = cast("Collection[object]", value) if isinstance(value, list | tuple | set | frozenset) else [value]
    return [f"{_quoted(name, name)}={_quoted(name, _text(name, item))}" for item in items if item is not None]


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, str | int):
        return str(value)
    raise InvalidArgument(f"{name}={value!r} cannot stand in a query")


def _quoted(name: str, value: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as exc:
        raise InvalidArgument(f"{name}={value!r} is not Unicode text") from exc


def decode_query(pairs: Iterable[tuple[str, str]], kind: type[StructT]) -> StructT:
    """Decode and validate a query; parameters that the operation does not have are ignored.

    Args:
        pairs: The decoded names and values, in their order. A list is its name again and again; of anything else
            that comes twice the last one counts.

    Raises:
        InvalidBody: A missing or mistyped parameter.
    """
    given: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    keyed: dict[str, dict[str, list[str]]] = {}
    many = _repeatable(kind)
    for name, value in pairs:
        if name in many:
            lists.setdefault(name, []).append(value)
        elif found := _KEYED.fullmatch(name):
            keyed.setdefault(f"{found[1]}_filter", {}).setdefault(found[2], []).append(value)
        else:
            given[name] = value
    try:
        return msgspec.convert({**given, **lists, **keyed}, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidBody([validation_issue(str(exc), "query")]) from exc


@cache
def _repeatable(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The names of the parameters that are lists."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return frozenset(
        field.name
        for field in described.fields
        for option in (field.type.types if isinstance(field.type, inspect.UnionType) else [field.type])
        if isinstance(option, inspect.ListType)
    )
