"""Calls that generate: the requests they send, the responses, and the arguments that are errors."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, create_autospec

import pytest

import humanloop_async
from humanloop_async import (
    AsyncHumanloop,
    ChatMessage,
    Humanloop,
    InvalidArgument,
    ModelConfigChatRequest,
    ModelConfigCompletionRequest,
    UnprocessableEntityError,
)
from humanloop_async.testing import ScriptedServer, http_response
from tests.events import completion, words

CONFIG = {"model": "m", "prompt_template": "{{q}}"}
CALLS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "complete": ("completions", "create", "/completion", {"model_config": CONFIG}),
    "complete_deployed": ("completions", "create_deployed", "/completion-deployed", {"environment": "prod"}),
    "complete_experiment": ("completions", "create_experiment", "/completion-experiment", {"experiment_id": "exp_1"}),
    "complete_model_configuration": (
        "completions",
        "create_model_config",
        "/completion-model-config",
        {"model_config_id": "config_1"},
    ),
    "chat": ("chats", "create", "/chat", {"messages": [], "model_config": {"model": "m"}}),
    "chat_deployed": ("chats", "create_deployed", "/chat-deployed", {"messages": [], "environment": "prod"}),
    "chat_experiment": ("chats", "create_experiment", "/chat-experiment", {"messages": [], "experiment_id": "exp_1"}),
    "chat_model_config": (
        "chats",
        "create_model_config",
        "/chat-model-config",
        {"messages": [], "model_config_id": "c"},
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_each_call_can_be_plain_or_streamed(client: AsyncHumanloop, server: ScriptedServer, name: str) -> None:
    resource, method, path, own = CALLS[name]
    params: dict[str, Any] = {**own, "project": "p", "inputs": {"q": "?"}, "num_samples": 1}
    kind = "Chat" if name.startswith("chat") else "Completion"
    top, inner = getattr(client, name), getattr(getattr(client, resource), method)
    assert top.__func__ is inner.__func__
    assert getattr(client, f"{name}_stream").__func__ is getattr(getattr(client, resource), f"{method}_stream").__func__

    server.add_response(completion("hello"))
    response = await top(**params)
    assert type(response).__name__ == f"{kind}Response"
    assert response.data[0].output == "hello"
    server.add_stream(*words("a", "b"))
    async with getattr(client, f"{name}_stream")(**params) as stream:
        assert type(stream).__name__ == f"{kind}Stream"
        assert type(await stream.final()).__name__ == f"{kind}Response"
    async with await top(**params, stream=True) as stream:
        assert type(stream).__name__ == f"{kind}Stream"
        assert [chunk.output async for chunk in stream] == ["a", "b"]

    assert [(request.method, request.path) for request in server.requests] == [("POST", f"/v4{path}")] * 3
    assert [request.json for request in server.requests] == [
        {**params, "stream": stream} for stream in (False, True, True)
    ]
    for request in server.requests:
        assert request.headers["x-api-key"] == "hl_key"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"] == f"humanloop_async/{humanloop_async.__version__}"
    assert [request.headers["accept"] for request in server.requests] == [
        "application/json",
        *["text/event-stream"] * 2,
    ]
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 3


def test_older_names_of_methods_work() -> None:
    for kind in (AsyncHumanloop, Humanloop):
        assert kind.chat_model_configuration is kind.chat_model_config
        assert kind.complete_model_config_stream is kind.complete_model_configuration_stream


def test_calls_can_be_mocked() -> None:
    """`create_autospec` finds the methods on the class."""
    mock = create_autospec(AsyncHumanloop)
    assert isinstance(mock.complete, AsyncMock)
    assert isinstance(mock.log, AsyncMock)
    assert not isinstance(mock.complete_stream, AsyncMock)
    assert isinstance(AsyncMock(spec=AsyncHumanloop).chat_deployed, AsyncMock)
    assert callable(create_autospec(Humanloop).chat_stream)


async def test_a_subclass_can_override_a_call(client: AsyncHumanloop) -> None:
    class Mine(AsyncHumanloop):
        async def complete(self, **params: Any) -> Any:
            return params

    async with Mine(base_url=client.base_url) as mine:
        complete: Any = mine.complete  # the overloads of the base class do not allow this call
        assert await complete(project="p") == {"project": "p"}


async def test_arguments_that_are_none_are_not_sent(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    await client.complete(project=None, model_config={"model": "m"}, inputs=None, seed=None, timeout=None, user="")
    assert server.requests[0].json == {"model_config": {"model": "m"}, "user": "", "stream": False}


async def test_structs_and_dicts_are_sent_alike(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    await client.chat(
        messages=[ChatMessage(role="user", content="hi"), {"role": "assistant", "content": "ho"}],
        model_config=ModelConfigChatRequest(model="m", temperature=0.5),
    )
    body = server.requests[0].json
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("user", "hi"),
        ("assistant", "ho"),
    ]
    assert body["model_config"]["temperature"] == 0.5


async def test_provider_keys_of_the_call_override_those_of_the_client(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    settings: dict[str, Any] = {
        f"{name}_api_key": f"client-{name}"
        for name in ("openai", "openai_azure", "openai_azure_endpoint", "anthropic", "cohere", "ai21", "mock")
    }
    async with AsyncHumanloop(base_url=server.url, **settings) as client:
        await client.complete(model_config={"model": "m"}, provider_api_keys={"openai": "mine", "other": "x"})
        await client.complete(model_config={"model": "m"})
    sent = [request.json["provider_api_keys"] for request in server.requests]
    common = {name.removesuffix("_api_key"): key for name, key in settings.items()}
    assert sent == [{**common, "openai": "mine", "other": "x"}, common]
    for request in server.requests:
        assert not any("client-" in value or "mine" in value for value in request.headers.values())


async def test_headers_of_the_call_override_those_of_the_client(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with AsyncHumanloop("k", base_url=server.url, headers={"X-Team": "a", "X-Kept": "b"}) as client:
        await client.complete(model_config={"model": "m"}, extra_headers={"X-Team": "mine"}, idempotency_key="the-key")
    headers = server.requests[0].headers
    assert (headers["x-team"], headers["x-kept"], headers["idempotency-key"]) == ("mine", "b", "the-key")
    assert "idempotency_key" not in server.requests[0].json


@pytest.mark.parametrize("bad", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
async def test_headers_with_control_characters_are_an_error(
    client: AsyncHumanloop, server: ScriptedServer, bad: str
) -> None:
    server.add_response(completion("a"))
    invalid: list[dict[str, Any]] = [
        {"extra_headers": {"X-A": bad}},
        {"idempotency_key": bad},
        {"extra_headers": {bad: "x"}},
    ]
    for options in invalid:
        with pytest.raises(InvalidArgument):
            await client.complete(model_config={"model": "m"}, **options)
    assert server.requests == []


@pytest.mark.parametrize(
    "bad",
    [
        *({name: "x"} for name in ("", "x y", "x: y", "x:", "é", " x", "Content-Length", "transfer-encoding", 1)),
        *({"x": value} for value in (" a", "a ", "é", "a\x7f", 1, None, b"a")),
    ],
    ids=str,
)
async def test_headers_that_a_transport_would_change_are_an_error(
    client: AsyncHumanloop, server: ScriptedServer, bad: Any
) -> None:
    server.add_response(completion("a"))
    with pytest.raises(InvalidArgument, match=r"header") as caught:
        await client.complete(model_config={"model": "m"}, extra_headers=bad)
    assert "'a" not in str(caught.value)
    await client.complete(model_config={"model": "m"}, extra_headers={"X-A": "", "X_b.c~1": "a, b=c"})
    assert (server.requests[0].headers["x-a"], server.requests[0].headers["x_b.c~1"]) == ("", "a, b=c")


async def test_an_argument_that_is_not_json_is_an_error(client: AsyncHumanloop) -> None:
    for bad in (object(), {1, object()}, float("nan").hex, float("nan"), [{"b": float("inf")}]):
        with pytest.raises(InvalidArgument):
            await client.complete(model_config={"model": "m"}, inputs={"a": bad})
    with pytest.raises(InvalidArgument, match="nan"):
        await client.complete(model_config=ModelConfigCompletionRequest(model="m", temperature=float("nan")))


@pytest.mark.parametrize(
    "option",
    [
        *({"timeout": value} for value in (0, -1, "5", float("nan"), float("inf"))),
        *({"max_retries": value} for value in (-1, 1.5, "5")),
    ],
    ids=str,
)
async def test_an_invalid_option_of_a_call_is_an_error(
    client: AsyncHumanloop, server: ScriptedServer, option: dict[str, Any]
) -> None:
    server.add_response(completion("a"))
    for call in (client.complete, client.complete_stream):
        with pytest.raises(InvalidArgument, match=next(iter(option))):
            await call(model_config={"model": "m"}, **option)
    assert server.requests == []


@pytest.mark.parametrize("bad", [0, -1, "5"])
async def test_the_server_checks_the_number_of_samples(
    client: AsyncHumanloop, server: ScriptedServer, bad: Any
) -> None:
    """The server checks the fields of the body, and its error is more precise than the client's could be."""
    issue = {"loc": ["body", "num_samples"], "msg": "Expected `int` >= 1", "type": "type_error"}
    server.add_response({"detail": [issue]}, status="422 Unprocessable Entity")
    with pytest.raises(UnprocessableEntityError, match="num_samples: Expected"):
        await client.complete_stream(model_config={"model": "m"}, num_samples=bad)


async def test_a_response_has_its_status_and_headers(client: AsyncHumanloop, server: ScriptedServer) -> None:
    body = {**completion(" a "), "unknown": {"kept": [1]}}
    server.add_script(0.05, http_response(body, headers={"X-Request-Id": "r1"}))
    response = await client.complete(model_config={"model": "m"})
    assert response.body == body
    assert (response.status, response.headers["x-request-id"]) == (200, "r1")
    assert 0.04 < response.round_trip_time < 2


async def test_nulls_in_a_response_are_defaults(client: AsyncHumanloop, server: ScriptedServer) -> None:
    body: Any = completion("a")
    [data] = body["data"]
    server.add_response({**body, "provider_responses": None, "num_samples": None, "data": [{**data, "inputs": None}]})
    response = await client.complete(model_config={"model": "m"})
    assert (response.data[0].inputs, response.provider_responses, response.num_samples) == ({}, [], 1)
