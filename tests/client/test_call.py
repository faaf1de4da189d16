"""Error responses, invalid responses and redirects: each raises the documented error, with the response attached."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from humanloop_async import (
    ApiException,
    AsyncHumanloop,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InvalidResponse,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StatusError,
    Timeout,
    TotalTimeout,
    UnprocessableEntityError,
)
from humanloop_async.testing import Action, ScriptedServer, http_response
from tests.events import completion

STATUSES = {
    400: BadRequestError,
    401: AuthenticationError,
    402: StatusError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    418: StatusError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: ServerError,
    501: ServerError,
    503: ServerError,
    304: StatusError,
    302: StatusError,
}


@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_has_an_error_class(client: AsyncHumanloop, server: ScriptedServer, status: int) -> None:
    body = {"detail": {"message": "words", "type": "t", "code": status, "origin": "OpenAI"}}
    server.add_script(http_response(body if status != 304 else b"", f"{status} The Reason", {"X-Request-Id": "r1"}))
    for call in (
        client.complete(model_config={"model": "m"}),
        client.complete(model_config={"model": "m"}, stream=True),
    ):
        with pytest.raises(ApiException) as caught:
            await call
        error = caught.value
        assert type(error) is STATUSES[status]
        assert (error.status, error.reason, error.headers["x-request-id"]) == (status, "The Reason", "r1")
        assert error.round_trip_time is not None
        assert error.round_trip_time > 0
        if status != 304:
            assert error.body == body
            assert isinstance(error, StatusError)
            assert (error.type, error.origin) == ("t", "OpenAI")
            assert str(error) == f"{status} from OpenAI: words (request r1)"


@pytest.mark.parametrize(
    ("body", "expected", "says"),
    [
        ({"detail": [{"loc": ["body", "x"], "msg": "bad", "type": "t"}]}, None, "body.x: bad"),
        ({"detail": {"message": "words"}}, None, "words"),
        ({"detail": "words"}, None, "words"),
        (b"plain words", "plain words", "plain words"),
        (b"", "", "Unprocessable Entity"),
        (b"\xff\xfe<html>", "\ufffd\ufffd<html>", "<html>"),
        (b'{"cut', '{"cut', "cut"),
        (b"[" * 100_000, None, "422"),
    ],
    ids=["list", "object", "string", "text", "empty", "bytes", "broken JSON", "nested"],
)
async def test_error_bodies_of_every_kind_give_a_message(
    client: AsyncHumanloop, server: ScriptedServer, body: Any, expected: Any, says: str
) -> None:
    server.add_response(body, "422 Unprocessable Entity")
    with pytest.raises(UnprocessableEntityError, match=says) as caught:
        await client.complete(model_config={"model": "m"})
    if not (isinstance(body, bytes) and expected is None):
        assert caught.value.body == (body if expected is None else expected)


async def test_an_error_body_that_never_ends_does_not_delay_the_error(server: ScriptedServer, transport: str) -> None:
    """The status is known, so its error is raised within the call's timeout."""
    server.add_script(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nhalf", Action.WAIT)
    async with AsyncHumanloop(base_url=server.url, transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
        started = time.monotonic()
        with pytest.raises(BadRequestError, match="half"):
            await client.complete(model_config={"model": "m"}, timeout=0.3)
        assert time.monotonic() - started < 5


async def test_a_huge_error_body_is_cut(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response(b"x" * 1_000_000, "400 Bad Request")
    with pytest.raises(BadRequestError) as caught:
        await client.complete(model_config={"model": "m"})
    assert caught.value.body == "x" * 65536


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>", b"7", b"null", b"[]", b"{}", b'{"data": 7}', b'{"data": [{}]}', b"\xff", b"[" * 100_000]
)
async def test_a_response_that_is_not_v4_is_invalid(
    client: AsyncHumanloop, server: ScriptedServer, garbage: bytes
) -> None:
    server.add_response(garbage, headers={"X-Request-Id": "r1"})
    with pytest.raises(InvalidResponse) as caught:
        await client.complete(model_config={"model": "m"})
    error = caught.value
    assert (error.status, error.headers["x-request-id"], len(server.requests)) == (200, "r1", 1)
    assert error.body == garbage[:2000].decode(errors="replace")
    assert error.round_trip_time is not None


async def test_a_response_over_the_size_limit_is_an_error(server: ScriptedServer, transport: str) -> None:
    server.add_response(completion("x" * 10_000))
    async with AsyncHumanloop(base_url=server.url, max_event_bytes=5000, transport=transport) as client:  # type: ignore[arg-type]
        with pytest.raises(InvalidResponse, match="max_event_bytes=5,000"):
            await client.complete(model_config={"model": "m"})
    assert len(server.requests) == 1


async def test_a_plain_call_ends_at_its_timeout(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", Action.WAIT)
    for timeout in (0.2, Timeout(total=0.2)):
        started = time.monotonic()
        with pytest.raises(TotalTimeout):
            await client.complete(model_config={"model": "m"}, timeout=timeout)
        assert 0.15 < time.monotonic() - started < 5


async def test_cancelling_a_plain_call_closes_its_connection(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(Action.WAIT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.complete(model_config={"model": "m"})
    await asyncio.wait_for(server.client_left.wait(), 10)


async def test_plain_calls_and_streams_with_werkzeug(httpserver: HTTPServer, transport: str) -> None:
    """Werkzeug checks the request: method, path, headers and body."""
    httpserver.expect_request(
        "/v4/chat-model-config",
        method="POST",
        headers={"X-API-KEY": "k"},
        json={"messages": [], "model_config_id": "c", "stream": False},
    ).respond_with_json(completion("from werkzeug"))
    async with AsyncHumanloop("k", base_url=httpserver.url_for("/v4"), transport=transport) as client:  # type: ignore[arg-type]
        response = await client.chat_model_config(messages=[], model_config_id="c")
    assert response.data[0].output == "from werkzeug"


@pytest.mark.parametrize("status", [307, 308])
async def test_redirects_to_the_same_origin_are_followed(
    client: AsyncHumanloop, server: ScriptedServer, status: int
) -> None:
    server.add_response({}, f"{status} Moved", {"Location": "/new/place"})
    server.add_response({}, f"{status} Moved", {"Location": "end"})
    server.add_response(completion("found"))
    assert (await client.complete(model_config={"model": "m"})).data[0].output == "found"
    assert [request.path for request in server.requests] == ["/v4/completion", "/new/place", "/new/end"]
    assert len({(request.body, request.headers["x-api-key"]) for request in server.requests}) == 1


async def test_redirects_to_another_origin_get_no_key(
    client: AsyncHumanloop, server: ScriptedServer, threaded_server: ScriptedServer
) -> None:
    threaded_server.add_response(completion("stolen"))
    for location in (
        f"{threaded_server.url}/v4/completion",
        f"//{threaded_server.url[7:]}/x",
        "ftp://h",
        "https://127.0.0.1/",
    ):
        server.add_response({}, "307 Elsewhere", {"Location": location})
        with pytest.raises(InvalidResponse, match="redirects") as caught:
            await client.complete(model_config={"model": "m"})
        assert caught.value.status == 307
    assert threaded_server.requests == []


@pytest.mark.parametrize("location", ["http://[::1", "http://h:99999/", "javascript:alert(1)", "http://h\xe9/"])
async def test_a_redirect_to_an_invalid_url_is_an_error(
    client: AsyncHumanloop, server: ScriptedServer, location: str
) -> None:
    """A `Location` that is not a URL is an error of the response and is not retried. Other statuses ignore it."""
    server.add_script(http_response({}, "307 Elsewhere", {"Location": location}))
    server.add_script(http_response({}, "302 Elsewhere", {"Location": location}))
    with pytest.raises(InvalidResponse, match="redirects"):
        await client.complete(model_config={"model": "m"}, max_retries=2)
    with pytest.raises(StatusError) as caught:
        await client.complete(model_config={"model": "m"}, max_retries=2)
    assert (caught.value.status, caught.value.headers["location"]) == (302, location)
    assert len(server.requests) == 2


@pytest.mark.parametrize("headers", [{}, {"Location": ""}], ids=str)
async def test_a_redirect_without_a_location_is_an_error(
    client: AsyncHumanloop, server: ScriptedServer, headers: dict[str, str]
) -> None:
    server.add_response({}, "307 Elsewhere", headers)
    with pytest.raises(StatusError) as caught:
        await client.complete(model_config={"model": "m"})
    assert (caught.value.status, len(server.requests)) == (307, 1)


async def test_redirects_in_a_circle_end_with_an_error(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response({}, "307 Round", {"Location": "/v4/completion"})
    with pytest.raises(StatusError) as caught:
        await client.complete(model_config={"model": "m"})
    assert caught.value.status == 307
    assert len(server.requests) == 6
