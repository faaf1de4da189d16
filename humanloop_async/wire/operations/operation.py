"""One row of the table of operations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from ... import types as t

RequestT = TypeVar("RequestT", bound=msgspec.Struct | None, covariant=True)
ResponseT = TypeVar("ResponseT", bound=t.Response | t.ResponseList[Any] | None, covariant=True)

_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ResponseT]):
    """One v4 operation.

    Attributes:
        id: Its ``operationId`` in the v4 document.
        method, path: How it is called; the path is relative to the base URL and starts with "/". Its ``{names}`` are
            parameters.
        request: The Struct of its body; `NoneType` when it has none.
        response: A Struct, a `ResponseList` of them, or `NoneType` when the answer has nothing to read.
        summary: One line for people.
        query: The Struct of its query; None when it has none. Its ``page``, if any, defaults to the first page.
        event: The Struct of one event when it can stream, else None.
        status: That of a success.
        batch: The body may also be a list of `request`, and the answer is then a list of `response`.
        creates: Done twice it would make two things, so it carries an ``Idempotency-Key``.
    """

    id: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    request: type[RequestT]
    response: type[ResponseT]
    summary: str
    query: type[msgspec.Struct] | None = None
    event: type[t.CompletionEvent] | type[t.ChatEvent] | None = None
    status: int = 200
    batch: bool = False
    creates: bool = False

    @property
    def path_parameters(self) -> list[str]:
        """Names of the parameters in `path`, in their order."""
        return _PARAMETER.findall(self.path)

    @property
    def first_page(self) -> int:
        """The number of a paged list's first page, which is 0 or 1."""
        assert self.query is not None
        (number,) = (field.default for field in msgspec.structs.fields(self.query) if field.name == "page")
        return int(number)


AnyOperation: TypeAlias = Operation[msgspec.Struct | None, t.Response | t.ResponseList[Any] | None]
