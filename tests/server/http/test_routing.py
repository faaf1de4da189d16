"""Every request that cannot be served gets the right status and a body of v4's shape."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.server.served import CHAT, COMPLETION, Api, with_config


def _detail(body: Any, status: int, origin: str = "Humanloop") -> str:
    """Check an error object, and return its message."""
    detail = body["detail"]
    assert detail.keys() == {"type", "message", "code", "origin"}
    assert (detail["code"], detail["origin"]) == (status, origin)
    return str(detail["message"])


@pytest.mark.parametrize("body", [b"", b"not json", b'{"project": ', b"[1, 2]", b'"text"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_not_a_json_object_is_malformed(api: Api, body: bytes) -> None:
    async with api.session.post(api.server.base_url + "/chat", data=body) as response:
        assert response.status == 400
        _detail(await response.json(), 400)


@pytest.mark.parametrize(
    ("path", "body", "loc", "kind"),
    [
        ("/chat", {"messages": []}, ["body", "model_config"], "value_error.missing"),
        ("/chat", {"model_config": CHAT["model_config"]}, ["body", "messages"], "value_error.missing"),
        ("/chat", {**CHAT, "num_samples": "two"}, ["body", "num_samples"], "type_error"),
        ("/chat", {**CHAT, "num_samples": 0}, ["body", "num_samples"], "type_error"),
        ("/chat", {**CHAT, "num_samples": 129}, ["body", "num_samples"], "value_error"),
        ("/chat", {**CHAT, "surprise": 1}, ["body", "surprise"], "value_error.extra"),
        ("/chat", {**CHAT, "project": "x" * 256}, ["body", "project"], "value_error"),
        ("/chat", {**CHAT, "project": ""}, ["body", "project"], "value_error"),
        ("/chat", {**CHAT, "messages": [{"role": "robot"}]}, ["body", "messages", 0, "role"], "type_error"),
        ("/chat", {**CHAT, "tool_call": "sometimes"}, ["body", "tool_call"], "value_error"),
        ("/chat", with_config(CHAT, surprise=1), ["body", "model_config", "surprise"], "value_error.extra"),
        ("/chat", with_config(CHAT, temperature="hot"), ["body", "model_config", "temperature"], "type_error"),
        (
            "/completion",
            with_config(COMPLETION, prompt_template=None),
            ["body", "model_config", "prompt_template"],
            "value_error.missing",
        ),
        (
            "/completion",
            with_config(COMPLETION, prompt_template="x" * (256 * 1024 + 1)),
            ["body", "model_config", "prompt_template"],
            "value_error",
        ),
        (
            "/chat",
            with_config(CHAT, chat_template=[{"role": "system", "content": "x" * 200_000}] * 2),
            ["body", "model_config", "chat_template"],
            "value_error",
        ),
        ("/chat-model-config", {"messages": []}, ["body", "model_config_id"], "value_error.missing"),
    ],
)
async def test_a_field_that_does_not_fit_is_named(
    api: Api, path: str, body: dict[str, Any], loc: list[str | int], kind: str
) -> None:
    status, answer = await api.post(path, body)
    assert status == 422
    [issue] = answer["detail"]
    assert issue.keys() == {"loc", "msg", "type"}
    assert (issue["loc"], issue["type"]) == (loc, kind)
    assert api.logs() == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/completion", {**COMPLETION, "inputs": {}}, "Missing input variables: name"),
        (
            "/chat",
            with_config(CHAT, chat_template=[{"role": "system", "content": "{{ b }} {{a}} {{ b}}"}]),
            "Missing input variables: a, b",
        ),
        ("/chat", with_config(CHAT, provider="nobody"), "unknown provider 'nobody'"),
        ("/chat", with_config(CHAT, tools=[{"id": "oc_1", "source": "organization"}]), "the tool 'oc_1' is only named"),
        (
            "/chat",
            with_config(CHAT, tools=[{"id": "oc_1", "name": "search", "source": "organization"}]),
            "the tool 'oc_1' is only named",
        ),
        ("/chat", with_config(CHAT, endpoint="edit"), '"edit" is not served'),
        ("/chat", with_config(CHAT, endpoint="complete"), "the model config's endpoint is 'complete'"),
        ("/completion", with_config(COMPLETION, endpoint="chat"), "the model config's endpoint is 'chat'"),
        ("/chat", {**CHAT, "tool_call": "auto", "tool_choice": "none"}, "the two differ"),
        ("/chat", {**CHAT, "session_id": "sesh_x", "session_reference_id": "y"}, "exclude each other"),
        ("/chat", {**CHAT, "parent_id": "data_x", "parent_reference_id": "y"}, "exclude each other"),
        (
            "/completion",
            with_config({**COMPLETION, "inputs": {"name": "x" * 100_000}}, prompt_template="{{name}}" * 1000),
            "the filled template has more than 4194304 characters",
        ),
    ],
)
async def test_a_call_that_cannot_be_made_is_refused_and_leaves_nothing(
    api: Api, path: str, body: dict[str, Any], words: str
) -> None:
    status, answer = await api.post(path, body)
    assert status == 422
    assert words in _detail(answer, 422)
    for table in ("logs", "projects", "model_configs", "sessions"):
        assert api.rows(f"SELECT * FROM {table}") == []  # noqa: S608 - names from the line above


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat", {**CHAT, "project": None, "project_id": "pr_unknown"}),
        ("/chat", {**CHAT, "session_id": "sesh_unknown"}),
        ("/chat", {**CHAT, "parent_id": "data_unknown"}),
        ("/chat", {**CHAT, "parent_reference_id": "unknown"}),
        ("/chat-model-config", {"messages": [], "model_config_id": "config_unknown"}),
    ],
)
async def test_what_does_not_exist_is_named_in_a_404(api: Api, path: str, body: dict[str, Any]) -> None:
    status, answer = await api.post(path, body)
    assert status == 404
    assert "unknown" in _detail(answer, 404)


@pytest.mark.parametrize("headers", [{}, {"X-API-KEY": ""}, {"X-API-KEY": "wrong"}, {"Authorization": "Bearer x"}])
async def test_without_a_key_nothing_is_read(api: Api, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/chat", "/chat-deployed"):
            async with session.post(api.server.base_url + path, data=b"not json", headers=headers) as response:
                assert response.status == 401
                assert "X-API-KEY" in _detail(await response.json(), 401)


async def test_a_key_that_is_not_text_is_wrong_too(api: Api) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"X-API-KEY": "caf\udce9"}
        async with session.post(api.server.base_url + "/chat", headers=headers) as response:
            assert response.status == 401


async def test_a_missing_provider_key_is_the_providers_401_and_is_logged(api: Api) -> None:
    status, answer = await api.post("/chat", with_config(CHAT, provider="openai"))
    assert status == 401
    message = _detail(answer, 401, origin="OpenAI")
    [log] = api.logs()
    assert log["status"] == "error"
    assert message in log["error"]
    assert json.loads(log["messages"])[0]["content"] == "Hello"


ZIPPED = gzip.compress(json.dumps({**CHAT, "user": "".join(map(chr, range(32, 1000)))}).encode())


@pytest.mark.parametrize(("method", "path"), [("POST", "/chat"), ("POST", "/logs"), ("DELETE", "/projects/pr_x")])
@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("gzip", b"not compressed", 400),
        ("gzip", ZIPPED[:-8] + b"\0" * 4 + ZIPPED[-4:], 400),  # its checksum
        ("gzip", ZIPPED[:40] + b"\xff" * 8 + ZIPPED[48:], 400),
        ("deflate", ZIPPED, 400),
        ("x-gzip", ZIPPED, 415),
        ("gzip, gzip", gzip.compress(ZIPPED), 415),
    ],
)
async def test_a_body_that_cannot_be_decompressed_is_a_clear_error(
    api: Api, method: str, path: str, coding: str, body: bytes, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    url, headers = api.server.base_url + path, {"Content-Encoding": coding}
    async with api.session.request(method, url, data=body, headers=headers) as response:
        assert response.status == expected
        assert "Content-Encoding" in _detail(await response.json(), expected)
    assert (await api.post("/chat", CHAT))[0] == 200
    assert caplog.records == []


async def test_a_compressed_body_is_read(api: Api) -> None:
    headers = {"Content-Encoding": "GZIP"}
    async with api.session.post(api.server.base_url + "/chat", data=ZIPPED, headers=headers) as response:
        assert response.status == 200


async def test_unknown_routes_and_methods_answer_json_too(api: Api) -> None:
    for url in (api.server.base_url + "/nothing", api.server.base_url.removesuffix("/v4") + "/elsewhere"):
        async with api.session.post(url) as response:
            assert response.status == 404
            assert "/openapi.json" in _detail(await response.json(), 404)
    async with api.session.get(api.server.base_url + "/chat") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        _detail(await response.json(), 405)


async def test_what_answers_a_get_answers_a_head(api: Api) -> None:
    _, made = await api.post("/projects", {"name": "greeter"})
    for path, expected in ((f"/projects/{made['id']}", 200), ("/projects/pr_x", 404), ("/chat", 405)):
        async with api.session.head(api.server.base_url + path) as response:
            assert response.status == expected
            assert int(response.headers["Content-Length"]) > 0
            assert await response.read() == b""


async def test_a_body_above_the_limit_is_413(start: Callable[..., Any]) -> None:
    async with start(max_body_bytes=1000) as api:
        status, answer = await api.post("/chat", {**CHAT, "user": "x" * 1000})
        assert status == 413
        assert "1000 bytes" in _detail(answer, 413)


async def test_too_many_generations_at_once_are_429_with_a_time_to_come_back(start: Callable[..., Any]) -> None:
    async with start(max_generations=1) as api:
        slow = with_config(CHAT, other={"tokens_per_second": 5})
        async with api.opened("/chat", slow) as running:
            assert await running.content.readany()
            async with api.session.post(api.server.base_url + "/chat", json=CHAT) as response:
                assert response.status == 429
                assert int(response.headers["Retry-After"]) >= 1
                _detail(await response.json(), 429)
            assert await running.read()
        assert (await api.post("/chat", CHAT))[0] == 200


@pytest.mark.parametrize(
    "content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded", "a/b;;"]
)
@pytest.mark.parametrize("accept", ["application/json", "image/png", "nonsense"])
async def test_what_the_headers_say_about_types_does_not_matter(
    api: Api, content_type: str | None, accept: str
) -> None:
    headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
    for stream in (False, True):
        body = json.dumps({**CHAT, "stream": stream}).encode()
        async with api.session.post(api.server.base_url + "/chat", data=body, headers=headers) as response:
            assert response.status == 200
            expected = "text/event-stream" if stream else "application/json"
            assert response.headers["Content-Type"] == expected


@pytest.mark.parametrize("where", ["metadata", "inputs", "model_config"])
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
async def test_nesting_has_a_bound(api: Api, where: str, opening: str, closing: str) -> None:
    def body(depth: int) -> bytes:
        nested = {"deep": "DEEP", "brackets in text": '\\"' + "[{" * 300}
        call = with_config(CHAT, other=nested) if where == "model_config" else {**CHAT, where: nested}
        text = json.dumps(call).replace('"DEEP"', opening * depth + "1" + closing * depth)
        return text.encode()

    for depth, expected in ((190, 200), (201, 422), (900, 422)):
        async with api.session.post(api.server.base_url + "/chat", data=body(depth)) as response:
            assert response.status == expected
            if expected == 422:
                assert "nested" in _detail(await response.json(), 422)


async def test_an_unforeseen_failure_is_a_500_that_tells_nothing(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The database loses a table; the client learns neither that nor anything else of the inside."""
    for table in ("logs", "model_configs"):
        api.rows(f"DROP TABLE {table}")
    status, answer = await api.post("/chat", CHAT)
    assert status == 500
    assert "model_configs" not in json.dumps(answer)
    _detail(answer, 500)
    assert "model_configs" in caplog.text
