"""Plain calls: what is sent, what comes back, what is refused."""

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
from tests.scripted import ScriptedServer, completion, http_response, words

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
async def test_each_call_in_all_its_forms(client: AsyncHumanloop, server: ScriptedServer, name: str) -> None:
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
    server.scripts.clear()
    server.add_stream(*words("a", "b"))
    async with getattr(client, f"{name}_stream")(**params) as stream:
        assert type(stream).__name__ == f"{kind}Stream"
        assert type(await stream.final()).__name__ == f"{kind}Response"
    async with await top(**params, stream=True) as stream:
        assert type(stream).__name__ == f"{kind}Stream"
        assert [chunk.output async for chunk in stream] == ["a", "b"]

    assert [(request.method, request.path) for request in server.requests] == [("POST", f"/v4{path}")] * 3
    assert [request.body for request in server.requests] == [
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


def test_names_of_older_clients() -> None:
    for kind in (AsyncHumanloop, Humanloop):
        assert kind.chat_model_configuration is kind.chat_model_config
        assert kind.complete_model_config_stream is kind.complete_model_configuration_stream


def test_the_calls_are_there_to_be_mocked() -> None:
    """`create_autospec` and the like look at the class."""
    mock = create_autospec(AsyncHumanloop)
    assert isinstance(mock.complete, AsyncMock)
    assert isinstance(mock.log, AsyncMock)
    assert not isinstance(mock.complete_stream, AsyncMock)
    assert isinstance(AsyncMock(spec=AsyncHumanloop).chat_deployed, AsyncMock)
    assert callable(create_autospec(Humanloop).chat_stream)


async def test_a_subclass_has_its_own_way(client: AsyncHumanloop) -> None:
    class Mine(AsyncHumanloop):
        async def complete(self, **params: Any) -> Any:
            return params

    async with Mine(base_url=client.base_url) as mine:
        complete: Any = mine.complete  # the overloads of the base class do not allow this call
        assert await complete(project="p") == {"project": "p"}


async def test_what_is_none_is_left_out(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    await client.complete(project=None, model_config={"model": "m"}, inputs=None, seed=None, timeout=None, user="")
    assert server.requests[0].body == {"model_config": {"model": "m"}, "user": "", "stream": False}


async def test_structs_and_dicts_are_sent_alike(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    await client.chat(
        messages=[ChatMessage(role="user", content="hi"), {"role": "assistant", "content": "ho"}],
        model_config=ModelConfigChatRequest(model="m", temperature=0.5),
    )
    body = server.requests[0].body
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("user", "hi"),
        ("assistant", "ho"),
    ]
    assert body["model_config"]["temperature"] == 0.5


async def test_provider_keys_go_into_the_body_and_the_calls_own_win(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    settings: dict[str, Any] = {
        f"{name}_api_key": f"client-{name}"
        for name in ("openai", "openai_azure", "openai_azure_endpoint", "anthropic", "cohere", "ai21", "mock")
    }
    async with AsyncHumanloop(base_url=server.url, **settings) as client:
        await client.complete(model_config={"model": "m"}, provider_api_keys={"openai": "mine", "other": "x"})
        await client.complete(model_config={"model": "m"})
    sent = [request.body["provider_api_keys"] for request in server.requests]
    common = {name.removesuffix("_api_key"): key for name, key in settings.items()}
    assert sent == [{**common, "openai": "mine", "other": "x"}, common]
    for request in server.requests:
        assert not any("client-" in value or "mine" in value for value in request.headers.values())


async def test_headers_of_the_client_and_of_the_call(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with AsyncHumanloop("k", base_url=server.url, headers={"X-Team": "a", "X-Kept": "b"}) as client:
        await client.complete(model_config={"model": "m"}, extra_headers={"X-Team": "mine"}, idempotency_key="the-key")
    headers = server.requests[0].headers
    assert (headers["x-team"], headers["x-kept"], headers["idempotency-key"]) == ("mine", "b", "the-key")
    assert "idempotency_key" not in server.requests[0].body


@pytest.mark.parametrize("bad", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
async def test_headers_cannot_smuggle(client: AsyncHumanloop, server: ScriptedServer, bad: str) -> None:
    server.add_response(completion("a"))
    every: list[dict[str, Any]] = [
        {"extra_headers": {"X-A": bad}},
        {"idempotency_key": bad},
        {"extra_headers": {bad: "x"}},
    ]
    for options in every:
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
async def test_headers_that_transports_would_not_send_alike(
    client: AsyncHumanloop, server: ScriptedServer, bad: Any
) -> None:
    server.add_response(completion("a"))
    with pytest.raises(InvalidArgument, match=r"header") as caught:
        await client.complete(model_config={"model": "m"}, extra_headers=bad)
    assert "'a" not in str(caught.value)
    await client.complete(model_config={"model": "m"}, extra_headers={"X-A": "", "X_b.c~1": "a, b=c"})
    assert (server.requests[0].headers["x-a"], server.requests[0].headers["x_b.c~1"]) == ("", "a, b=c")


async def test_an_argument_without_json_form(client: AsyncHumanloop) -> None:
    for bad in (object(), {1, object()}, float("nan").hex, float("nan"), [{"b": float("inf")}]):
        with pytest.raises(InvalidArgument):
            await client.complete(model_config={"model": "m"}, inputs={"a": bad})
    with pytest.raises(InvalidArgument, match="nan"):
        await client.complete(model_config=ModelConfigCompletionRequest(model="m", temperature=float("nan")))


@pytest.mark.parametrize("bad", [0, -1, "5", float("nan"), float("inf"), True])
async def test_invalid_options_of_a_call(client: AsyncHumanloop, server: ScriptedServer, bad: Any) -> None:
    server.add_response(completion("a"))
    if bad is not True:
        with pytest.raises(InvalidArgument):
            await client.complete(model_config={"model": "m"}, timeout=bad)
        with pytest.raises(InvalidArgument):
            await client.complete_stream(model_config={"model": "m"}, timeout=bad)
    assert server.requests == []


@pytest.mark.parametrize("bad", [0, -1, "5"])
async def test_what_is_no_number_of_samples_is_for_the_server_to_refuse(
    client: AsyncHumanloop, server: ScriptedServer, bad: Any
) -> None:
    """As with every other field of the body: its words say more than ours could."""
    issue = {"loc": ["body", "num_samples"], "msg": "Expected `int` >= 1", "type": "type_error"}
    server.add_response({"detail": [issue]}, status="422 Unprocessable Entity")
    with pytest.raises(UnprocessableEntityError, match="num_samples: Expected"):
        await client.complete_stream(model_config={"model": "m"}, num_samples=bad)


async def test_the_response_knows_its_http_answer(client: AsyncHumanloop, server: ScriptedServer) -> None:
    body = {**completion(" a "), "unknown": {"kept": [1]}}
    server.add_script(0.05, http_response(body, X_Request_Id="r1"))
    response = await client.complete(model_config={"model": "m"})
    assert response.body == body
    assert (response.status, response.headers["x-request-id"]) == (200, "r1")
    assert 0.04 < response.round_trip_time < 2


async def test_nulls_in_an_answer_mean_absent(client: AsyncHumanloop, server: ScriptedServer) -> None:
    body: Any = completion("a")
    [data] = body["data"]
    server.add_response({**body, "provider_responses": None, "num_samples": None, "data": [{**data, "inputs": None}]})
    response = await client.complete(model_config={"model": "m"})
    assert (response.data[0].inputs, response.provider_responses, response.num_samples) == ({}, [], 1)
