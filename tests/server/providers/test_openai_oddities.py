"""What providers do that nobody documents: keys in their words, counts that are none, streams that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from humanloop_async.server.providers import http_provider
from humanloop_async.server.providers.base import ProviderError
from humanloop_async.server.providers.openai import OpenAIProvider
from humanloop_async.server.providers.openai_events import read_answer
from tests.server.providers.test_openai import ANSWER, KEY, call, drain, text
from tests.server.providers.test_openai_events import delta, read


@pytest.fixture
async def provider(scripted: Any) -> Any:
    made = OpenAIProvider(scripted.url, KEY)
    yield made
    await made.aclose()


@pytest.mark.parametrize("address", ["http://a..b/v1", "http://user:pa55@127.0.0.1:9/v1"])
async def test_a_base_url_to_which_nothing_can_be_sent_is_a_503(address: str) -> None:
    provider = OpenAIProvider(address, KEY)
    for refused in (provider.generate(call()), provider.stream(call()).__aenter__()):
        with pytest.raises(ProviderError) as caught:
            await refused
        assert caught.value.status == 503
        assert "a..b" not in caught.value.message
        assert "pa55" not in caught.value.message
    await provider.aclose()


SECRET = "gsk_0123456789abcdef"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + f"{SECRET:>40}".encode()], id="no JSON"),
        pytest.param(
            [b"HTTP/1.1 400 X\r\nContent-Length: 2100\r\n\r\n" + b"x" * 1990 + f"{SECRET:<110}".encode()], id="cut"
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nAuthorization " + SECRET.encode() + b"\r\n\r\n", "cut"], id="header"),
        pytest.param([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", SECRET.encode(), "cut"], id="chunk"),
    ],
)
async def test_whatever_goes_wrong_the_servers_own_key_stays_here(scripted: Any, script: list[Any]) -> None:
    """Neither whole nor its beginning."""
    provider = OpenAIProvider(scripted.url, SECRET)
    scripted.add_script(*script)
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    assert SECRET[:8] not in caught.value.message
    assert "127.0.0.1" not in caught.value.message
    scripted.add_script(*script)
    try:
        async with provider.stream(call()) as stream:
            _, error = await drain(stream)
    except ProviderError as refused:
        error = refused
    assert error is not None
    assert SECRET[:8] not in error.message
    await provider.aclose()


async def test_numbers_that_nobody_can_hold_cost_the_raw_answer_only(scripted: Any, provider: OpenAIProvider) -> None:
    for number in (b"1e999", b"9" * 5000):
        scripted.add_response(json.dumps(ANSWER).encode().replace(b"{", b'{"x":' + number + b",", 1))
        reply = await provider.generate(call())
        assert (reply.samples[0].text, reply.responses) == ("hello", [None])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"error": {"message": "out of quota", "code": 429}}, 429, "out of quota"),
        ({"message": "out of quota"}, 503, "out of quota"),
        (ANSWER, 503, "no stream"),
    ],
)
async def test_a_refusal_where_a_stream_should_be_says_why(
    scripted: Any, provider: OpenAIProvider, body: object, status: int, words: str
) -> None:
    scripted.add_response(body, headers=["Content-Type: application/json"])
    with pytest.raises(ProviderError, match=words) as caught:
        async with provider.stream(call()):
            pass
    assert caught.value.status == status


async def test_a_stream_that_calls_itself_json_is_one(scripted: Any, provider: OpenAIProvider) -> None:
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in (text(0, "a"), text(0, "b", "stop")))
    scripted.add_response(data, headers=["Content-Type: application/json"])
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert error is None
    assert [chunk.text for chunk in chunks] == ["a", "b"]


async def test_the_words_of_an_error_event_of_another_form_are_kept(scripted: Any, provider: OpenAIProvider) -> None:
    scripted.add_response(b'event: error\ndata: {"message": "overloaded"}\n\n')
    async with provider.stream(call()) as stream:
        _, error = await drain(stream)
    assert error is not None
    assert error.message.endswith("finish reason: overloaded")


async def test_an_answer_that_does_not_end_is_an_error(
    scripted: Any, provider: OpenAIProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small its events are, and though nothing of them is passed on."""
    monkeypatch.setattr(http_provider, "MAX_RESPONSE_BYTES", 10_000)
    piece = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 500}}]}}]}
    scripted.streams(text(0, "a"), *[piece] * 50, done=False, end="hang", size=1000)
    async with provider.stream(call()) as stream:
        chunks, error = await drain(stream)
    assert [made.text for made in chunks] == ["a"]
    assert error is not None
    assert (error.status, error.message) == (503, "a response above 10,000 bytes")


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (None, None),
        ("many", None),
        ([5], None),
        ({"prompt_tokens": None, "completion_tokens": 5.0}, (0, 5)),
        ({"prompt_tokens": -5, "completion_tokens": 1.5}, (0, 1)),
        ({"prompt_tokens": 2**31 - 1, "completion_tokens": 2**31}, (2**31 - 1, 0)),
        ({"prompt_tokens": 10**25, "completion_tokens_details": "x"}, (0, 0)),
    ],
)
def test_a_count_that_makes_no_sense_ends_no_call(counted: object, expected: tuple[int, int] | None) -> None:
    """It is none; nor is one that no log could hold."""
    reader, chunks = read(1, {"choices": [], "usage": counted}, delta(0, "x", "stop"))
    answer = {"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}], "usage": counted}
    _, whole = read_answer(json.dumps(answer).encode(), 1)
    assert [chunk.text for chunk in chunks] == ["x"]
    for found in (reader.usage, whole):
        assert (found and (found.prompt_tokens, found.generation_tokens)) == expected


def test_events_that_are_nothing_are_passed_over() -> None:
    """And an end is one with a blank behind it."""
    reader, chunks = read(1, b"", b" ", b"ping", {"type": "ping"}, delta(0, "x", "stop"), b"[DONE] ")
    assert [chunk.text for chunk in chunks] == ["x"]
    assert reader.ended
    assert reader.words == ""
