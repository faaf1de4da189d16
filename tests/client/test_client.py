"""The client's settings: from arguments, from the environment, and invalid ones. API keys are never printed."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import httpx
import pytest

from humanloop_async import (
    AiohttpTransport,
    ApiException,
    AsyncHumanloop,
    HttpxTransport,
    InvalidArgument,
    Timeout,
)
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, ScriptedServer, http_chunk
from tests.events import completion, words


async def test_settings_come_from_the_environment(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add_response(completion("a"))
    monkeypatch.setenv("HUMANLOOP_API_KEY", "from-env")
    monkeypatch.setenv("HUMANLOOP_BASE_URL", f"{server.url}/env/")
    async with AsyncHumanloop() as client:
        await client.complete(model_config={"model": "m"})
    async with AsyncHumanloop("argument", host=f"{server.url}/host/") as client:
        await client.complete(model_config={"model": "m"})
    assert [(r.path, r.headers["x-api-key"]) for r in server.requests] == [
        ("/env/completion", "from-env"),
        ("/host/completion", "argument"),
    ]


async def test_defaults_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    client = AsyncHumanloop()
    assert client.base_url == "http://127.0.0.1:8460/v4"
    await client.aclose()


async def test_no_key_is_sent_when_there_is_none(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with AsyncHumanloop(base_url=server.url) as client:
        await client.complete(model_config={"model": "m"})
    assert "x-api-key" not in server.requests[0].headers


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "127.0.0.1:8460"},
        {"base_url": "ftp://127.0.0.1"},
        {"base_url": "http://"},
        {"base_url": "http://[::1"},
        {"base_url": "http://127.0.0.1:99999"},
        {"base_url": "http://127.0.0.1/v4?a=b"},
        {"base_url": "http://127.0.0.1/v4#a"},
        {"base_url": "http://127.0.0.1/v4?"},
        {"base_url": " http://127.0.0.1/v4"},
        {"base_url": "http://127.0.0.1/v4\n"},
        {"base_url": "http://a/v4", "host": "http://b/v4"},
        {"api_key": "line\nend"},
        {"api_key": "ключ"},
        {"headers": {"X-A": "b\r\nX-C: d"}},
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": float("nan")},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": "2"},
        {"max_retries": None},
        {"max_connections": -1},
        {"max_connections": "5"},
        {"max_event_bytes": 0},
        {"max_event_bytes": "x"},
        {"max_buffered_bytes": -1},
        {"api_key": b"k"},
        {"openai_api_key": 5},
        {"base_url": 5},
        {"host": b"http://127.0.0.1"},
        {"ssl": "x"},
        {"proxy": 5},
        {"transport": None},
        {"transport": 5},
        {"transport": "requests"},
        {"transport": "httpx", "ssl": False},
        {"proxy": "127.0.0.1:1", "transport": "httpx"},
    ],
    ids=str,
)
def test_invalid_settings_are_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        AsyncHumanloop(**settings)
    assert "ключ" not in str(caught.value)


@pytest.mark.parametrize("transport", [AiohttpTransport, HttpxTransport])
@pytest.mark.parametrize("settings", [{"max_connections": -1}, {"max_connections": "5"}, {"proxy": 5}], ids=str)
def test_transports_check_their_settings(transport: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        transport(**settings)


async def test_a_client_of_an_http_library_is_not_a_transport() -> None:
    """The client of httpx even has the methods of a transport."""
    async with httpx.AsyncClient() as client:
        with pytest.raises(InvalidArgument, match=r"wrap it: HttpxTransport\("):
            AsyncHumanloop(transport=client)  # type: ignore[arg-type]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(InvalidArgument, match=r"wrap it: AiohttpTransport\("):
            AsyncHumanloop(transport=session)  # type: ignore[arg-type]


@pytest.mark.parametrize("transport", [AiohttpTransport, HttpxTransport])
async def test_the_number_of_connections_can_be_unlimited(server: ScriptedServer, transport: Any) -> None:
    server.add_response(completion("a"))
    ours = transport(max_connections=0)
    async with AsyncHumanloop(base_url=server.url, transport=ours, timeout=3) as client:
        assert (await client.complete(model_config={"model": "m"})).data[0].output == "a"
    await ours.aclose()


async def test_calls_wait_while_all_connections_are_in_use(server: ScriptedServer, transport: str) -> None:
    server.add_script(0.02, STREAM_HEAD, *map(http_chunk, words("a", "b")), LAST_CHUNK)
    async with AsyncHumanloop(base_url=server.url, max_connections=2, transport=transport) as client:  # type: ignore[arg-type]

        async def one() -> str:
            async with client.complete_stream(model_config={"model": "m"}) as stream:
                return (await stream.final()).data[0].output

        assert await asyncio.gather(*(one() for _ in range(10))) == ["ab"] * 10
    assert server.connections == 2


def test_base_url_and_host_may_be_the_same() -> None:
    client = AsyncHumanloop(base_url="http://127.0.0.1:1/v4/", host="http://127.0.0.1:1/v4")
    assert client.base_url == "http://127.0.0.1:1/v4"


@pytest.mark.parametrize("limits", [{"connect": 0}, {"idle": -1}, {"total": "1"}, {"first_token": float("inf")}])
def test_invalid_timeouts_are_an_error(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(limits))):
        Timeout(**limits)


async def test_keys_are_never_shown(server: ScriptedServer) -> None:
    server.add_response({"detail": "no"}, "401 Unauthorized")
    secret = "sk-SECRET"
    async with AsyncHumanloop(secret, base_url=server.url, openai_api_key=secret) as client:
        shown: list[object] = [client, client._core.config, client.completions, client._core]
        for options in ({}, {"extra_headers": {"X-A": secret + "\n"}}, {"provider_api_keys": {"openai": object()}}):
            with pytest.raises(ApiException) as caught:
                await client.complete(model_config={"model": "m"}, **options)
            error: BaseException | None = caught.value
            while error is not None:
                shown.append(error)
                error = error.__cause__
        opening = client.complete_stream(model_config={"model": "m"}, provider_api_keys={"openai": secret})
        shown.append(opening)
    for thing in shown:
        assert "SECRET" not in repr(thing) + str(thing)
    opening.close()
