"""``X-Request-Id`` in responses, log lines and log rows; lines about failures of providers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

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
