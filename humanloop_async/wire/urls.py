"""Path and query of a request: the client builds them from parameters, the server decodes the query into a Struct."""

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

_KEYED_FILTER = re.compile(r"(\w+)-(.+)_filter", re.DOTALL)
"""A filter whose name contains a key: ``feedback-rating_filter`` stands for ``feedback_filter["rating"]``."""


def pop_url(operation: AnyOperation, fields: dict[str, object]) -> str:
    """Build the path and query of a request, relative to the base URL, and remove their parameters from `fields`.

    Raises:
        InvalidArgument: A path parameter is missing, or a parameter has no form in a URL.
    """
    path = operation.path
    for name in operation.path_parameters:
        path = path.replace(f"{{{name}}}", _path_segment(name, fields.pop(name, None)))
    if operation.query is None:
        return path
    pairs: list[str] = []
    for name in operation.query.__struct_fields__:
        value = fields.pop(name, None)
        if isinstance(value, Mapping):
            for key, item in cast("Mapping[str, object]", value).items():
                pairs += _query_pairs(name.replace("_filter", f"-{key}_filter"), item)
        else:
            pairs += _query_pairs(name, value)
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def _path_segment(name: str, value: object) -> str:
    # "" and the dot segments would turn the path into that of another operation.
    if not isinstance(value, str) or value in {"", ".", ".."}:
        raise InvalidArgument(f"{name}={value!r} is not an id; pass the id of an object")
    return _quote(name, value)


def _query_pairs(name: str, value: object) -> list[str]:
    items = cast("Collection[object]", value) if isinstance(value, list | tuple | set | frozenset) else [value]
    return [f"{_quote(name, name)}={_quote(name, _query_value(name, item))}" for item in items if item is not None]


def _query_value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # or a datetime, which is a subclass
        return value.isoformat()
    if isinstance(value, str | int):
        return str(value)
    raise InvalidArgument(
        f"{name}={value!r} is of type {type(value).__name__}; pass text, a whole number, a boolean or a date"
    )


def _quote(name: str, value: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as exc:
        raise InvalidArgument(f"{name}={value!r} contains half of a surrogate pair; pass valid Unicode text") from exc


def decode_query(pairs: Iterable[tuple[str, str]], kind: type[StructT]) -> StructT:
    """Decode and validate a query, ignoring parameters that the operation does not have.

    Args:
        pairs: Decoded names and values, in order. A list parameter repeats its name; of any other parameter that
            is repeated, the last value counts.
        kind: The Struct of the operation's query.

    Raises:
        InvalidBody: A parameter is missing or has the wrong type.
    """
    scalars: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    keyed: dict[str, dict[str, list[str]]] = {}
    list_names = _list_parameters(kind)
    for name, value in pairs:
        if name in list_names:
            lists.setdefault(name, []).append(value)
        elif match := _KEYED_FILTER.fullmatch(name):
            keyed.setdefault(f"{match[1]}_filter", {}).setdefault(match[2], []).append(value)
        else:
            scalars[name] = value
    try:
        return msgspec.convert({**scalars, **lists, **keyed}, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidBody([validation_issue(str(exc), "query")]) from exc


@cache
def _list_parameters(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Return the names of the parameters that are lists."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return frozenset(
        field.name
        for field in info.fields
        for option in (field.type.types if isinstance(field.type, inspect.UnionType) else [field.type])
        if isinstance(option, inspect.ListType)
    )
