"""One row of the table of operations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from ... import types as t

RequestT = TypeVar("RequestT", bound=msgspec.Struct | list[str] | None, covariant=True)
ResponseT = TypeVar("ResponseT", bound=t.Response | t.ResponseList[Any] | t.ResponseText | None, covariant=True)

_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ResponseT]):
    """One v4 operation.

    Attributes:
        id: Its ``operationId`` in the v4 document: the resource and the method, such as ``Projects_listConfigs``.
        method, path: The path is relative to the base URL and starts with "/". Its ``{names}`` are parameters.
        request: The Struct of its body, or ``list[str]`` for a list of ids; `NoneType` if it has none.
        response: A Struct, a `ResponseList` of them, a `ResponseText`, or `NoneType` if the response has no body to
            decode.
        summary: One line: the start of the method's docstring, and the summary in ``/openapi.json``.
        details: Further sentences for the docstring and the description in ``/openapi.json``.
        query: The Struct of its query; None if it has none. A query with a ``page`` makes the method return `Pages`,
            and the default of ``page`` is the number of the first page.
        event: The Struct of one event if it can stream, else None.
        status: Status of a successful response.
        batch: Whether the body may also be a list of `request`. The response to a list is a list of `response`, unless
            `response` is a list already.
        creates: Whether a repeated call would create something again. It then carries an ``Idempotency-Key``.
        positional: Body fields that the method accepts by position, after the path's parameters.
        names: Names of the method on the client itself.
        aliases: Further names of the method on its resource, from older SDK versions.
    """

    id: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    request: type[RequestT]
    response: type[ResponseT]
    summary: str
    details: str = ""
    query: type[msgspec.Struct] | None = None
    event: type[t.CompletionEvent] | type[t.ChatEvent] | None = None
    status: int = 200
    batch: bool = False
    creates: bool = False
    positional: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def resource(self) -> str:
        """Name of the resource: the first part of `id`."""
        return self.id.partition("_")[0]

    @property
    def path_parameters(self) -> list[str]:
        """Names of the parameters in `path`, in order."""
        return _PARAMETER.findall(self.path)

    @property
    def first_page(self) -> int:
        """Number of a paged list's first page, 0 or 1."""
        assert self.query is not None
        (number,) = (field.default for field in msgspec.structs.fields(self.query) if field.name == "page")
        return int(number)


AnyOperation: TypeAlias = Operation[
    msgspec.Struct | list[str] | None, t.Response | t.ResponseList[Any] | t.ResponseText | None
]


def rows(module: dict[str, Any]) -> tuple[Operation[Any, Any], ...]:
    """Return the operations among a module's globals, in the order of their definition."""
    operations: list[Operation[Any, Any]] = [value for value in module.values() if isinstance(value, Operation)]
    return tuple(operations)
