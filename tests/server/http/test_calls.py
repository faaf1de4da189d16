"""Typed calls: every operation of the table has a handler whose call has the query that the table names."""

from __future__ import annotations

import inspect
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from humanloop_async.server.http import handlers
from humanloop_async.server.http.calls import HANDLERS
from humanloop_async.wire.operations import GENERATION_OPERATIONS, OPERATIONS, AnyOperation
from humanloop_async.wire.operations.finetunes import FINETUNE_OPERATIONS

RECORDS = [operation for operation in OPERATIONS if operation not in GENERATION_OPERATIONS]


def test_handlers_are_those_of_the_table() -> None:
    assert {operation.id for operation in RECORDS} == HANDLERS.keys()
    assert {inspect.getmodule(handler) for handler in HANDLERS.values()} == {
        getattr(handlers, name) for name in handlers.__all__
    }


@pytest.mark.parametrize("operation", RECORDS, ids=lambda operation: operation.id)
def test_a_handler_declares_the_query_of_its_operation(operation: AnyOperation) -> None:
    """Type checkers compare the body and the response with the table; the table does not type the query."""
    call = get_type_hints(HANDLERS[operation.id])["call"]
    declared = get_args(call)[1]
    if operation in FINETUNE_OPERATIONS:  # one handler rejects them all
        assert declared is Any
    else:
        assert declared == (operation.query or NoneType)
