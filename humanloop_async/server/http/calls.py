"""Decoded calls, and the registry of the handlers that serve them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, overload

from msgspec import Struct

from ...types import Response, ResponseList, ResponseText
from ...wire.operations import AnyOperation, Operation
from ..errors import BodyPath
from ..service import Service

T = TypeVar("T")
BodyT = TypeVar("BodyT", covariant=True)
QueryT = TypeVar("QueryT", covariant=True)
RequestT = TypeVar("RequestT", bound=Struct | list[str] | None)
ResponseT = TypeVar("ResponseT", bound=Response | None)

Batch: TypeAlias = Mapping[BodyPath, T]
"""The objects of a body that is one object or a list, by their path in the body: ``()``, or their index."""


@dataclass(frozen=True, slots=True)
class ApiCall(Generic[BodyT, QueryT]):
    """One call of an operation. Its API key has been checked, and its request decoded.

    Attributes:
        path: Parameters of the path.
        query: The decoded query; None if the operation takes none.
        body: The decoded body, a `Batch` if the operation takes a list of objects; None if it takes no body.
    """

    service: Service
    operation: AnyOperation
    path: Mapping[str, str]
    query: QueryT
    body: BodyT


Handler: TypeAlias = Callable[[ApiCall[BodyT, Any]], Awaitable[T]]
"""Serves the calls of one operation and returns its response, or None if the operation has none.

Raises:
    ApiError: The response is an error.
"""

HANDLERS: dict[str, Handler[Any, Any]] = {}
"""Handlers by the id of their operation; filled when the package `humanloop_async.server.http.handlers` is imported."""


@overload
def handles(
    operation: Operation[RequestT, ResponseList[T]],
) -> Callable[[Handler[RequestT, list[T]]], Handler[RequestT, list[T]]]: ...
@overload
def handles(
    operation: Operation[RequestT, ResponseText],
) -> Callable[[Handler[RequestT, str]], Handler[RequestT, str]]: ...
@overload
def handles(
    operation: Operation[RequestT, ResponseT],
) -> Callable[[Handler[RequestT, ResponseT]], Handler[RequestT, ResponseT]]: ...
def handles(operation: AnyOperation) -> Callable[[Handler[Any, Any]], Handler[Any, Any]]:
    """Register the decorated function as the handler of an operation."""
    return _register(operation)


@overload
def handles_batch(
    operation: Operation[RequestT, ResponseList[T]],
) -> Callable[[Handler[Batch[RequestT], list[T]]], Handler[Batch[RequestT], list[T]]]: ...
@overload
def handles_batch(
    operation: Operation[RequestT, ResponseT],
) -> Callable[[Handler[Batch[RequestT], list[ResponseT]]], Handler[Batch[RequestT], list[ResponseT]]]: ...
def handles_batch(operation: AnyOperation) -> Callable[[Handler[Any, Any]], Handler[Any, Any]]:
    """Register the decorated function as the handler of an operation that takes one object or a list of them."""
    return _register(operation)


def _register(operation: AnyOperation) -> Callable[[Handler[Any, Any]], Handler[Any, Any]]:
    def register(handler: Handler[Any, Any]) -> Handler[Any, Any]:
        HANDLERS[operation.id] = handler
        return handler

    return register
