"""No key gets into a recording, wherever a server repeats it; and nothing else is changed."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async import AiohttpTransport, ApiException, AsyncHumanloop
from humanloop_async.testing import (
    LAST_CHUNK,
    STREAM_HEAD,
    RecordedRead,
    RecordingTransport,
    ScriptedServer,
    http_chunk,
    load_recording,
)
from humanloop_async.testing.redaction import Redactor
from humanloop_async.wire.requests import HttpRequest
from tests.events import event

KEY = "hl_sk_0123456789abcdef"
PROVIDER_KEY = 'sk-"quoted"/0123456789'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "call.jsonl"


async def record(server: ScriptedServer, path: Path, request: HttpRequest, secrets: Sequence[str] = ()) -> str:
    """Record one call, and return the file."""
    transport = RecordingTransport(AiohttpTransport(), path, secrets=secrets)
    response = await transport.send(request, 10)
    while await response.read(10):
        pass
    await transport.aclose()
    return load_text(path)


def load_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


async def test_a_recorded_call_of_the_client_has_no_key(server: ScriptedServer, path: Path) -> None:
    """Neither the client's key, nor a provider's in the body, nor one in a header of the call."""
    server.add_stream(event(output="key ok", finish_reason="stop"))
    transport = RecordingTransport(AiohttpTransport(), path)
    async with AsyncHumanloop(
        KEY, base_url=f"{server.url}/v4", transport=transport, openai_api_key=PROVIDER_KEY
    ) as client:
        config: Any = {"model": "m", "prompt_template": "p"}
        async with client.complete_stream(model_config=config, extra_headers={"X-Team": "search"}) as stream:
            await stream.final()
    await transport.aclose()
    text = load_text(path)
    assert server.requests[0].headers["x-api-key"] == KEY
    assert server.requests[0].json["provider_api_keys"] == {"openai": PROVIDER_KEY}
    for secret in (
        KEY,
        PROVIDER_KEY,
        json.dumps(PROVIDER_KEY),
        "search",
        server.requests[0].headers["idempotency-key"],
    ):
        assert secret not in text
    [call] = load_recording(path)
    assert call.headers["x-api-key"] == call.headers["x-team"] == "REDACTED"
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body or b"")["provider_api_keys"] == {"openai": "REDACTED"}
    assert b"key ok" in call.content


BASIC = base64.b64encode(b"ada:correct horse battery").decode()

HEADERS = {
    "Authorization": "Bearer tok_0123456789",
    "Proxy-Authorization": f"Basic {BASIC}",
    "Cookie": "theme=dark; sid=cookie_0123456789",
    "api-key": "azure_0123456789",
    "X-Goog-Api-Key": "goog_0123456789",
    "X-Auth-Token": "auth_0123456789",
}
SECRETS = [
    *("tok_0123456789", BASIC, "correct horse battery", "cookie_0123456789", "azure_0123456789", "goog_0123456789"),
    *("auth_0123456789", "query_0123456789", "nested_0123456789", "body_0123456789"),
]


async def test_secrets_are_removed_everywhere(server: ScriptedServer, path: Path) -> None:
    """From headers, query and body, and from a response that repeats them, as text and in JSON."""
    echo = " ".join(SECRETS)
    headers = {"X-Echo": "tok_0123456789", "Set-Cookie": "sid=fresh_0123456789"}
    server.add_response({"echo": echo, "parts": SECRETS}, 400, headers)
    body = json.dumps({"api_key": "body_0123456789", "list": [{"password": "nested_0123456789"}], "max_tokens": 9})
    request = HttpRequest("POST", f"{server.url}/v4/chat?page=2&key=query_0123456789", HEADERS, body.encode())
    text = await record(server, path, request)
    for secret in [*SECRETS, "fresh_0123456789"]:
        assert secret not in text
    [call] = load_recording(path)
    assert call.url == f"{server.url}/v4/chat?page=2&key=REDACTED"
    assert json.loads(call.body or b"") == {
        "api_key": "REDACTED",
        "list": [{"password": "REDACTED"}],
        "max_tokens": 9,
    }
    assert json.loads(call.content) == {"echo": " ".join(["REDACTED"] * 10), "parts": ["REDACTED"] * 10}
    assert call.response_headers["X-Echo"] == "REDACTED"


async def test_a_secret_that_is_split_over_reads_is_removed(server: ScriptedServer, path: Path) -> None:
    parts = [b"data: your key hl_sk_012", b"3456", b"789abcdef is", b" wrong\n\n"]
    server.add_script(STREAM_HEAD, *(step for part in parts for step in (http_chunk(part), 0.05)), LAST_CHUNK)
    text = await record(server, path, HttpRequest("POST", f"{server.url}/v4/chat", {"X-API-KEY": KEY}, b"{}"))
    [call] = load_recording(path)
    assert [read.data for read in call.reads] == [b"data: your key REDACTED", b" is", b" wrong\n\n"]
    assert "789abcdef" not in text


@given(
    st.lists(st.sampled_from([b"a", b"hl_sk_0123456789abcdef", b"hl_sk_0123", b"\n"])).map(b"".join),
    st.sets(st.integers(1, 60)),
)
def test_split_anywhere_the_same_bytes_remain(body: bytes, cuts: set[int]) -> None:
    redactor = Redactor()
    redactor.clean_request("http://h/", {"X-API-KEY": KEY}, None)
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    pieces = [body[first:last] for first, last in itertools.pairwise(places) if last > first]
    cleaned = redactor.clean_reads([RecordedRead(number, piece) for number, piece in enumerate(pieces)])
    assert b"".join(read.data for read in cleaned) == body.replace(KEY.encode(), b"REDACTED")
    assert all(read.data for read in cleaned)


async def test_further_secrets_can_be_named(server: ScriptedServer, path: Path) -> None:
    server.add_response({"name": "Ada Lovelace"})
    request = HttpRequest("POST", f"{server.url}/v4/chat", {}, b'{"user":"Ada Lovelace"}')
    assert "Lovelace" not in await record(server, path, request, ["Ada Lovelace"])


async def test_words_that_only_look_like_secrets_stay(server: ScriptedServer, path: Path) -> None:
    """Arguments of tools called key, short keys, numbers of tokens."""
    server.add_response({"output": "a test of keys", "token": "word"})
    body = {"key": "a value of a tool", "max_tokens": 5, "stop": ["token"], "tokens": ["secret words"], "api_key": None}
    request = HttpRequest("POST", f"{server.url}/v4/chat", {"X-API-KEY": "test"}, json.dumps(body).encode())
    await record(server, path, request)
    [call] = load_recording(path)
    assert json.loads(call.body or b"") == body
    assert json.loads(call.content) == {"output": "a test of keys", "token": "word"}
    assert call.headers["X-API-KEY"] == "REDACTED"


async def test_an_error_message_has_no_key(path: Path) -> None:
    transport = RecordingTransport(AiohttpTransport(), path)
    with pytest.raises(ApiException):
        await transport.send(HttpRequest("GET", "http://127.0.0.1:1/v4?api_key=query_0123456789", {}), 5)
    await transport.aclose()
    assert not re.search("query_0123456789", load_text(path))
    assert load_recording(path)[0].message
