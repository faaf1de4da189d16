"""Failures of servers: each is counted under its class, with the tokens received before it, and none is dropped."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from humanloop_async import ApiConnectionError, AuthenticationError, InvalidArgument
from humanloop_async.bench.load import Closed, Limits, Open
from humanloop_async.bench.metrics import METRICS
from humanloop_async.bench.settings import Api
from humanloop_async.bench.targets import api_of_url, check, detect_api
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, Step, http_chunk, http_response
from humanloop_async.transport.aiohttp_transport import AiohttpTransport
from tests.bench.measuring import measure, settings
from tests.events import COMMENT, DONE, event, sse

both_apis = pytest.mark.parametrize("api", ["v4", "openai"])


def token(api: Api, text: str = "x", finish: str | None = None, index: int = 0) -> bytes:
    if api == "v4":
        return event(index, text, finish)
    return sse({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]})


def script(api: Api, case: str) -> tuple[Step, ...]:
    one = http_chunk(token(api))
    match case:
        case "ok":
            return (STREAM_HEAD, one, http_chunk(token(api, "y", "stop")), LAST_CHUNK)
        case "clean end":
            return (STREAM_HEAD, one, one, LAST_CHUNK)
        case "done without finish":
            return (STREAM_HEAD, one, http_chunk(DONE), LAST_CHUNK)
        case "cut":
            return (STREAM_HEAD, one, one, one, Action.CLOSE)
        case "reset":
            return (STREAM_HEAD, one, 0.1, Action.RESET)
        case "empty":
            return (STREAM_HEAD, LAST_CHUNK)
        case "429":
            return (http_response({"detail": "slow down", "error": {"message": "slow down"}}, "429 Too Many Requests"),)
        case "500":
            return (http_response({"detail": "broken"}, "500 Internal Server Error"),)
        case "error event":
            body = {"detail": {"message": "broken", "code": 503}} if api == "v4" else {"error": {"code": 503}}
            return (STREAM_HEAD, one, http_chunk(sse(body)), LAST_CHUNK)
        case "invalid event":
            return (STREAM_HEAD, one, http_chunk(b"data: {nonsense\n\n"), LAST_CHUNK)
        case "wrong index":
            return (STREAM_HEAD, one, http_chunk(token(api, index=7)), LAST_CHUNK)
        case "not a stream":
            return (http_response({"choices": [], "data": []}),)
        case "silence":
            return (STREAM_HEAD, Action.WAIT)
        case "stall":
            return (STREAM_HEAD, one, one, http_chunk(COMMENT), Action.WAIT)
        case _:
            return (Action.WAIT,)


CLASSES = {
    "ok": ("ok", 2),
    "clean end": ("truncated: clean end", 2),
    "done without finish": ("truncated: clean end", 1),
    "cut": ("truncated: connection lost", 3),
    "reset": ("truncated: connection lost", 1),
    "empty": ("truncated: clean end", 0),
    "429": ("http 429", 0),
    "500": ("http 500", 0),
    "error event": ("error event 503", 1),
    "invalid event": ("invalid event", 1),
    "wrong index": ("invalid event", 1),
    "not a stream": ("invalid response", 0),
    "silence": ("timeout: first token", 0),
    "stall": ("timeout: idle", 2),
    "no headers": ("timeout: headers", 0),
}


@both_apis
@pytest.mark.parametrize("case", CLASSES)
async def test_a_failure_has_its_class_and_keeps_its_tokens(api: Api, case: str) -> None:
    async with ScriptedServer() as server:
        server.add_script(*script(api, case))
        timeout = 0.3 if "timeout" in CLASSES[case][0] else 30.0
        outcome = await measure(settings(api, server.url, timeout=timeout), Closed(1), Limits(requests=1))
        (record,) = outcome.records
        assert (record.outcome, record.chunks) == CLASSES[case]
        assert record.ended > record.sent >= 0
        assert bool(record.message) == (case != "ok")
        assert len(METRICS["ttft"].values(record, None)) == (record.chunks > 0)
        assert len(server.requests) == 1  # not retried


@both_apis
async def test_a_run_counts_every_request(api: Api) -> None:
    """Fifteen requests of fifteen classes give fifteen records, in open load too."""
    cases = [case for case in CLASSES if "timeout" not in CLASSES[case][0]]
    async with ScriptedServer() as server:
        for case in cases:
            server.add_script(*script(api, case))
        outcome = await measure(settings(api, server.url), Open(50, "constant"), Limits(requests=len(cases)))
        assert Counter(record.outcome for record in outcome.records) == Counter(CLASSES[case][0] for case in cases)


@both_apis
async def test_an_unreachable_server_is_a_failure_of_each_request(api: Api) -> None:
    async with ScriptedServer() as server:
        url = server.url
    outcome = await measure(settings(api, url), Closed(2), Limits(requests=4))
    assert [record.outcome for record in outcome.records] == ["no connection"] * 4


@both_apis
async def test_a_missing_sample_is_a_truncation(api: Api) -> None:
    async with ScriptedServer() as server:
        server.add_stream(token(api, "a", "stop", 1), token(api, "b", None, 0))
        outcome = await measure(settings(api, server.url, num_samples=2), Closed(1), Limits(requests=1))
    (record,) = outcome.records
    assert record.outcome == "truncated: clean end"
    assert [len(sample) for sample in record.arrivals] == [1, 1]


async def test_openai_events_count_whatever_carries_a_token() -> None:
    """Text, reasoning and tool calls are tokens; roles, empty text and usage are not."""
    deltas: list[dict[str, object]] = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
    ]
    deltas += [{"content": [{"type": "text", "text": "x"}]}, {"tool_calls": [{"index": 0}]}, {}]
    events = [sse({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    events.append(sse({"choices": [{"index": 0, "delta": {"content": None}, "finish_reason": "stop"}]}))
    events.append(sse({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 44, "total_tokens": 47}}))
    async with ScriptedServer() as server:
        server.add_stream(*events, DONE)
        outcome = await measure(settings("openai", server.url), Closed(1), Limits(requests=3))
        assert {(r.outcome, r.chunks, r.tokens, r.prompt_tokens) for r in outcome.records} == {("ok", 4, 44, 3)}
        assert server.connections == 1


async def test_the_requests_of_both_apis() -> None:
    async with ScriptedServer() as server:
        server.add_script(*script("v4", "ok"))
        server.add_script(*script("openai", "ok"))
        await measure(settings("v4", server.url), Closed(1), Limits(requests=1))
        await measure(settings("openai", server.url), Closed(1), Limits(requests=1))
        v4, openai = server.requests
        assert (v4.path, openai.path) == ("/chat", "/chat/completions")
        assert v4.json["stream"] is openai.json["stream"] is True
        assert "project" not in v4.json
        assert openai.json["stream_options"] == {"include_usage": True}
        assert "n" not in openai.json


async def test_a_server_that_rejects_stream_options_is_asked_without_them() -> None:
    async with ScriptedServer() as server:
        server.add_response({"error": {"message": "unknown field stream_options"}}, "400 Bad Request")
        server.add_script(*script("openai", "ok"))
        checked = await check(settings("openai", server.url))
        assert not checked.ask_usage
        assert ["stream_options" in request.json for request in server.requests] == [True, False]


async def test_the_check_raises_the_failure() -> None:
    async with ScriptedServer() as server:
        server.add_response({"detail": "no key"}, "401 Unauthorized")
        with pytest.raises(AuthenticationError, match="no key"):
            await check(settings("v4", server.url))


@pytest.mark.parametrize(
    ("v4", "openai", "found"),
    [
        (422, 404, "v4"),
        (401, 404, "v4"),
        (404, 400, "openai"),
        (405, 401, "openai"),
        (404, 404, None),
        (422, 422, None),
    ],
)
async def test_the_api_is_detected_from_the_response_to_an_empty_request(
    v4: int, openai: int, found: str | None
) -> None:
    transport = AiohttpTransport()
    async with ScriptedServer() as server:
        server.add_response({}, f"{v4} Any")
        server.add_response({}, f"{openai} Any")
        if found is None:
            with pytest.raises(InvalidArgument, match="pass --api v4 or --api openai"):
                await detect_api(server.url, transport)
        else:
            assert await detect_api(server.url, transport) == found
        assert [(request.path, json.loads(request.body)) for request in server.requests] == [
            ("/chat", {}),
            ("/chat/completions", {}),
        ]
        assert not any("authorization" in r.headers or "x-api-key" in r.headers for r in server.requests)
    with pytest.raises(ApiConnectionError):
        await detect_api(server.url, transport)
    await transport.aclose()


def test_the_end_of_a_url_names_the_api() -> None:
    assert api_of_url("http://127.0.0.1:8460/v4") == "v4"
    assert api_of_url("https://api.example/openai/v1/") == "openai"
    assert api_of_url("https://api.example") is None
