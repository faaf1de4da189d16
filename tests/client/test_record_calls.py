"""The calls for projects, logs, feedback and other records: requests, results and errors."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any

import pytest

from humanloop_async import (
    ApiException,
    AsyncHumanloop,
    AuthenticationError,
    Humanloop,
    InvalidArgument,
    InvalidResponse,
    NotFoundError,
    Pages,
    ProjectResponse,
    ResponseList,
    ServerError,
    SyncPages,
    UnprocessableEntityError,
)
from humanloop_async.testing import Action, ScriptedServer, http_response
from humanloop_async.types import CreateLogResponse, LogRequest
from humanloop_async.wire.operations import GENERATION_OPERATIONS, OPERATIONS
from tests.record_calls import CALLS, LOG, Expected


def check(expected: Expected, given: Any, server: ScriptedServer) -> None:
    expected.check(server)
    if expected.operation.response is type(None):
        assert given is None
        return
    assert given.body == expected.answer
    assert isinstance(given, ResponseList) == isinstance(expected.answer, list)
    assert given.headers["x-request"] == "r1"
    assert given.round_trip_time > 0
    if "status" not in getattr(given, "__struct_fields__", ()):  # some responses have a field of that name
        assert given.status == expected.operation.status


@pytest.mark.parametrize("expected", CALLS, ids=lambda call: call.name)
async def test_a_call_sends_the_documented_request(
    expected: Expected, server: ScriptedServer, client: AsyncHumanloop
) -> None:
    expected.script(server)
    check(expected, await attrgetter(expected.name)(client)(*expected.args, **expected.kwargs), server)


@pytest.mark.parametrize("expected", CALLS, ids=lambda call: call.name)
def test_a_sync_call_sends_the_documented_request(expected: Expected, threaded_server: ScriptedServer) -> None:
    expected.script(threaded_server)
    with Humanloop("hl_key", base_url=f"{threaded_server.url}/v4", max_retries=0) as client:
        given = attrgetter(expected.name)(client)(*expected.args, **expected.kwargs)
        if isinstance(given, SyncPages):
            assert not threaded_server.requests
            assert len(given.records) == 1
        check(expected, given, threaded_server)


def test_every_operation_has_a_recorded_call() -> None:
    called = {expected.operation.id for expected in CALLS}
    assert called == {operation.id for operation in OPERATIONS} - {operation.id for operation in GENERATION_OPERATIONS}


async def test_an_operation_without_a_result_returns_none_whatever_the_body(
    server: ScriptedServer, client: AsyncHumanloop
) -> None:
    server.add_response(b"null")
    assert await client.projects.delete_deployed_config("pr_1", "env_1") is None  # type: ignore[func-returns-value]


async def test_a_result_has_its_raw_response(server: ScriptedServer, client: AsyncHumanloop) -> None:
    server.add_response([{"id": "data_1", "project_id": "pr_1", "newer": 1}], headers={"X-Request": "r2"})
    created = await client.log([LOG])
    assert list(created) == [CreateLogResponse(id="data_1", project_id="pr_1")]
    assert created.body == [{"id": "data_1", "project_id": "pr_1", "newer": 1}]
    assert (created.status, created.headers["X-Request"]) == (200, "r2")


async def test_provider_keys_are_sent_only_for_generation(server: ScriptedServer) -> None:
    """Only calls that generate send them; logs and projects do not need them."""
    server.add_response({"id": "data_1", "project_id": "pr_1"})
    async with AsyncHumanloop(base_url=f"{server.url}/v4", openai_api_key="sk-secret") as client:
        await client.log(output="x")
    assert b"sk-secret" not in server.requests[0].body


# Arguments


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("log", ([{"output": "x"}, {"outptu": "x"}],), {}, "'outptu' is not a field of Logs_log"),
        ("log", ({"outptu": "x"},), {}, "'outptu' is not a field of Logs_log"),
        ("log", ({"output": "x"},), {"source": "y"}, "'source' in the body or as a keyword"),
        ("log", ("text",), {}, "the body is of type str"),
        ("log", (3,), {}, "the body is of type int"),
        ("log", (), {"output": object()}, "cannot be encoded as JSON"),
        ("logs.delete", ([],), {}, r"id=\[\]: give at least one value"),
        ("logs.delete", ("",), {}, "id=''"),
        ("logs.delete", (["data_1", ""],), {}, "no empty ones"),
        ("logs.delete", (None,), {}, "id=None"),
        ("logs.list", ("",), {}, "project_id=''"),
        ("projects.delete", ("",), {}, "id=''"),
        ("projects.delete", ("..",), {}, "id='..'"),
        ("experiments.sample", (None,), {}, "experiment_id=None"),
        ("projects.list", (), {"filter": object()}, "filter=<object"),
        ("projects.get", ("pr_1",), {"extra_headers": {"a": "b\r\nc: d"}}, "header"),
    ],
)
async def test_an_invalid_argument_is_reported_before_anything_is_sent(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    message: str,
    server: ScriptedServer,
    client: AsyncHumanloop,
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        await attrgetter(name)(client)(*args, **kwargs)
    assert not server.requests


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "unknown"),
    [
        ("projects.update", ("pr_1",), {"nmae": "x"}, "nmae"),
        ("projects.get", ("pr_1",), {"environment": "x"}, "environment"),
        ("projects.list", (), {"colour": "red"}, "colour"),
        ("log", (), {"outptu": "x"}, "outptu"),
        ("complete", (), {"model_config": {"model": "m"}, "num_sample": 2}, "num_sample"),
    ],
)
def test_an_unknown_keyword_is_a_type_error(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], unknown: str
) -> None:
    with Humanloop() as sync:
        for client in (sync, AsyncHumanloop()):
            with pytest.raises(TypeError, match=f"unexpected keyword argument '{unknown}'"):
                attrgetter(name)(client)(*args, **kwargs)


async def test_options_are_accepted_in_every_form(server: ScriptedServer, client: AsyncHumanloop) -> None:
    server.add_response({"id": "data_1", "project_id": "pr_1"})
    server.add_response([])
    server.add_response({"records": [], "page": 0, "size": 10, "total": 0})
    headers = {"X-Trace": "t"}
    await client.log(LogRequest(output="x"), idempotency_key="k1", extra_headers=headers)
    await client.log([], idempotency_key="k2", extra_headers=headers)
    await client.projects.list(extra_headers=headers, timeout=5, max_retries=0)
    assert [request.headers["x-trace"] for request in server.requests] == ["t"] * 3
    assert [request.headers.get("idempotency-key") for request in server.requests] == ["k1", "k2", None]


# Failures


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        ("401 Unauthorized", {"type": "authentication_error", "message": "no", "code": 401}, AuthenticationError),
        ("404 Not Found", {"type": "not_found_error", "message": "no", "code": 404}, NotFoundError),
        ("422 No", [{"loc": ["body"], "msg": "no", "type": "t"}], UnprocessableEntityError),
    ],
)
async def test_each_error_status_has_an_error_class(
    status: str, detail: object, error: type[ApiException], server: ScriptedServer, client: AsyncHumanloop
) -> None:
    server.add_response({"detail": detail}, status)
    for name, args in [("projects.delete", ("pr_1",)), ("logs.list", ("pr_1",)), ("log", ([LOG],)), ("feedback", ())]:
        with pytest.raises(error, match="no") as caught:
            await attrgetter(name)(client)(*args)
        assert caught.value.body == {"detail": detail}


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"id":1}', b"<html>", b"\xff", b"[" * 100_000])
async def test_the_error_for_an_invalid_response_quotes_its_beginning(
    raw: bytes, server: ScriptedServer, client: AsyncHumanloop
) -> None:
    server.add_response(raw)
    with pytest.raises(InvalidResponse) as caught:
        await client.projects.get("pr_1")
    assert caught.value.status == 200
    assert caught.value.body == raw[:2000].decode(errors="replace")


async def test_an_object_instead_of_a_list_is_an_invalid_response(
    server: ScriptedServer, client: AsyncHumanloop
) -> None:
    server.add_response({"id": "data_1", "project_id": "pr_1"})
    with pytest.raises(InvalidResponse):
        await client.log([LOG])


async def test_a_retry_has_the_same_idempotency_key(server: ScriptedServer, transport: Any) -> None:
    server.add_script(Action.RESET)
    server.add_script(http_response({"detail": "busy"}, "503 Busy", {"Retry-After": "0"}))
    server.add_response({"id": "sesh_1"}, "201 Created")
    async with AsyncHumanloop(base_url=f"{server.url}/v4", transport=transport) as client:
        session = await client.sessions.create()
    assert (session.id, session.status) == ("sesh_1", 201)
    assert len(server.requests) == 3
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


async def test_the_last_error_is_raised_after_the_last_retry(server: ScriptedServer) -> None:
    server.add_script(http_response({"detail": "busy"}, "503 Busy", {"Retry-After": "0"}))
    async with AsyncHumanloop(base_url=f"{server.url}/v4", max_retries=1) as client:
        with pytest.raises(ServerError):
            await client.logs.get("data_1")
    assert len(server.requests) == 2


# Types


async def test_results_are_typed(server: ScriptedServer, client: AsyncHumanloop) -> None:
    (expected,) = [call for call in CALLS if call.name == "projects.list"]
    expected.script(server)
    pages = client.projects.list()
    assert isinstance(pages, Pages)
    page = await pages
    assert [type(record) for record in page.records] == [ProjectResponse]
    assert json.loads(server.requests[0].body or b"null") is None
