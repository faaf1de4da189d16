"""``X-Request-Id`` in responses, log lines and log rows; lines about failures of providers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, NotFoundError, ServerError
from humanloop_async.server.running.log_output import JsonFormatter
from tests.server.served import CHAT, Api, with_config


async def request_id(api: Api, path: str, body: object, id: str | None) -> tuple[str, str]:
    headers = {} if id is None else {"X-Request-Id": id}
    async with api.session.post(api.server.base_url + path, json=body, headers=headers) as response:
        return response.headers["X-Request-Id"], await response.text()


@pytest.mark.parametrize("stream", [True, False])
async def test_an_id_is_accepted_returned_and_stored(api: Api, caplog: pytest.LogCaptureFixture, stream: bool) -> None:
    caplog.set_level("INFO", "humanloop_async.server.access")
    assert (await request_id(api, "/chat", {**CHAT, "stream": stream}, "trace-1:a"))[0] == "trace-1:a"
    log = {"project": "greeter", "config": {"model": "m"}, "output": "x"}
    created, _ = await request_id(api, "/logs", log, None)
    assert created.startswith("req_")
    assert [row["request_id"] for row in api.logs()] == ["trace-1:a", created]
    assert [message.split()[-1] for message in caplog.messages] == ["trace-1:a", created]


async def test_errors_have_ids(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    assert (await request_id(api, "/chat", {"nonsense": 1}, "rejected"))[0] == "rejected"
    assert (await request_id(api, "/nothing", {}, "unknown"))[0] == "unknown"
    for table in ("logs", "model_configs"):
        api.rows(f"DROP TABLE {table}")
    id, text = await request_id(api, "/chat", CHAT, "broken")
    assert id == "broken"
    assert "at request broken" in text
    assert "POST /v4/chat (request broken) failed" in caplog.text


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/chat", with_config(CHAT, other={"fail_after": 0}), 503),
        ("/chat", {"nonsense": 1}, 422),
        ("/logs", {"project": "p", "output": "without a config"}, 422),
        ("/sessions/unknown", None, 405),
        ("/nothing", {}, 404),
    ],
)
async def test_the_body_of_an_error_has_the_id(api: Api, path: str, body: object, status: int) -> None:
    async with api.session.post(api.server.base_url + path, json=body, headers={"X-Request-Id": 'a"b'}) as response:
        assert response.status == status
        error = await response.json()
        assert error.keys() == {"detail", "request_id"}
        assert error["request_id"] == response.headers["X-Request-Id"] == 'a"b'


async def test_an_error_before_the_routes_has_the_id_of_its_request(api: Api) -> None:
    host, port = api.server.base_url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: first\r\n\r\n")
    assert b"X-Request-Id: first" in await reader.readuntil(b'{"status":"ok"}')
    head = b"POST /v4/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    writer.write(head + b"Expect: nonsense\r\nX-Request-Id: second\r\n\r\n")
    rejected = await reader.readuntil(b"}")
    rejected += await reader.readuntil(b"}")
    assert rejected.startswith(b"HTTP/1.1 417 ")
    assert b"X-Request-Id: second" in rejected
    assert rejected.endswith(b'"request_id":"second"}')
    writer.close()
    await writer.wait_closed()


async def test_the_event_of_an_error_has_the_id(api: Api) -> None:
    body = {**with_config(CHAT, other={"fail_after": 2}), "stream": True}
    _, text = await request_id(api, "/chat", body, "broke-later")
    *_, last = [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n") if event]
    assert last["detail"]["code"] == 503
    assert last["request_id"] == "broke-later"


async def test_a_stored_error_is_repeated_with_the_id_of_the_repetition(api: Api) -> None:
    body = with_config(CHAT, other={"fail_after": 0, "status": 422})
    for id in ("first", "second"):
        headers = {"X-Request-Id": id, "Idempotency-Key": "k"}
        async with api.session.post(api.server.base_url + "/chat", json=body, headers=headers) as response:
            assert response.headers.get("Idempotent-Replayed") == (None if id == "first" else "true")
            assert (await response.json())["request_id"] == id


async def test_logs_show_their_request_and_are_found_by_it(api: Api) -> None:
    for id in ("one", "two"):
        await request_id(api, "/chat", CHAT, id)
    (row, _) = api.logs()
    _, shown = await api.call("GET", f"/logs/{row['id']}")
    assert shown["request_id"] == "one"
    query = {"project_id": row["project_id"], "request_id": "two"}
    _, found = await api.call("GET", "/logs", query=query)
    assert [log["request_id"] for log in found["records"]] == ["two"]
    assert found["total"] == 1


async def test_errors_of_the_client_show_the_id_once_and_the_address(api: Api) -> None:
    async with AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key, max_retries=0) as client:
        with pytest.raises(ServerError) as rejected:
            await client.chat(**with_config(CHAT, other={"fail_after": 0}), extra_headers={"X-Request-Id": "plain"})
        assert rejected.value.request_id == "plain"
        assert str(rejected.value).startswith("503 from Mock: ")
        assert str(rejected.value).endswith(" (request plain)")
        broken_call = with_config(CHAT, other={"fail_after": 2})
        with pytest.raises(ServerError) as broken:
            async with client.chat_stream(**broken_call, extra_headers={"X-Request-Id": "streamed"}) as stream:
                await stream.final()
        assert broken.value.request_id == "streamed"
        with pytest.raises(NotFoundError) as unknown:
            await client.projects.get("pr_unknown")
        address = api.server.base_url.split("/")[2]
        assert str(unknown.value).startswith(f"404 from {address}: ")
        api.rows("DROP TABLE logs")
        with pytest.raises(ServerError) as failed:
            await client.logs.get("data_1", extra_headers={"X-Request-Id": "shown-once"})
    assert str(failed.value).count("shown-once") == 1


@pytest.mark.parametrize("id", ["", "a b", "a\tb", "x" * 129, "\u00e9"])
async def test_an_id_that_could_forge_log_lines_is_replaced(api: Api, id: str) -> None:
    returned, _ = await request_id(api, "/chat", CHAT, id)
    assert returned.startswith("req_")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_of_a_provider_is_one_line(api: Api, caplog: pytest.LogCaptureFixture, stream: bool) -> None:
    failing = with_config(CHAT, other={"fail_after": 0, "status": 429})
    await request_id(api, "/chat", {**failing, "stream": stream}, "failed-1")
    (line,) = caplog.messages
    assert line.startswith("provider mock failed with 429 in POST /v4/chat (request failed-1): ")


async def test_json_lines_have_fields(start: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "humanloop_async.server.access")
    lines: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonFormatter().format(record)))

    logger, handler = logging.getLogger("humanloop_async"), Handler()
    logger.addHandler(handler)
    try:
        async with start() as api:
            await request_id(api, "/chat", CHAT, "json-1")
            await request_id(api, "/chat", with_config(CHAT, other={"fail_after": 0}), "json-2")
            api.rows("DROP TABLE api_keys")
            await request_id(api, "/chat", CHAT, "json-3")
    finally:
        logger.removeHandler(handler)
    access = [line for line in lines if line["logger"] == "humanloop_async.server.access"]
    assert [(line["request_id"], line["method"], line["path"], line["status"]) for line in access] == [
        ("json-1", "POST", "/v4/chat", 200),
        ("json-2", "POST", "/v4/chat", 503),
        ("json-3", "POST", "/v4/chat", 500),
    ]
    assert all(line["bytes"] > 0 and 0 < line["seconds"] < 60 and line["level"] == "info" for line in access)
    others = [line for line in lines if line not in access]
    assert [(line["request_id"], line["level"]) for line in others[:2]] == [("json-2", "warning"), ("json-3", "error")]
    assert "no such table" in others[1]["exception"]
