"""Tokens that come one by one take the short way through; the client must not be able to tell."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.generation.streaming import EventStream
from humanloop_async.server.http.access_log import access_logger
from humanloop_async.server.providers.openai import CompatibleProvider, OpenAIStream
from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from humanloop_async.server.running.embedded import EmbeddedServer
from humanloop_async.transport.aiohttp_transport import AiohttpResponse
from tests.scripted import STREAM as HEAD
from tests.scripted import Action, ScriptedServer, Step, chunk
from tests.server.served import CHAT, with_config

TEXTS = ["Once", " upon", ' "a"\n', " naïve", " 🙂", " \\frac", " time"]


def event(text: str | None = None, **choice: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, **choice}]}).encode() + b"\n\n"


END = [event(finish_reason="stop"), b"data: [DONE]\n\n"]
STREAM = [*map(event, TEXTS), *END]


class Passed:
    """How many batches took the short way."""

    number = 0


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    counter, try_send = Passed(), EventStream.try_send

    def counting(self: EventStream, encode: Any, what: Any) -> bool:
        taken = try_send(self, encode, what)
        counter.number += taken
        return taken

    monkeypatch.setattr(EventStream, "try_send", counting)
    return counter


def compatible(upstream: ScriptedServer) -> ProviderSettings:
    return ProviderSettings(compatible={"up": CompatibleServer(base_url=f"{upstream.url}/v1")})


@asynccontextmanager
async def between(
    tmp_path: Path, *script: Step, version: aiohttp.HttpVersion = aiohttp.HttpVersion11
) -> AsyncIterator[Any]:
    """A server whose provider plays this script; yields how to open a stream of it."""
    upstream = ScriptedServer()
    upstream.add_script(HEAD, *script)
    database = f"{tmp_path}.db"
    async with (
        upstream.running(),
        EmbeddedServer(database=database, providers=compatible(upstream)) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}, version=version) as session,
    ):
        call = {**with_config(CHAT, provider="up", model="m"), "stream": True}
        yield lambda: session.post(f"{server.base_url}/chat", json=call)


async def body_of(
    tmp_path: Path, writes: Sequence[bytes], pause: float, end: bytes = b"0\r\n\r\n", **options: Any
) -> str:
    """What a client is sent when the provider makes these writes, with a pause after each."""
    script = [step for data in writes for step in (chunk(data), pause)]
    async with between(tmp_path, *script, end, Action.CLOSE, **options) as opened, opened() as response:
        return re.sub(r"(data|config|pr)_\w{10,}", r"\1", await response.text())


async def test_one_by_one_and_all_at_once_are_the_same_bytes(tmp_path: Path, passed: Passed) -> None:
    at_once = await body_of(tmp_path / "once", [b"".join(STREAM)], 0)
    assert passed.number == 0
    one_by_one = await body_of(tmp_path / "one", STREAM, 0.01)
    assert passed.number >= len(TEXTS) - 2  # the first opens the response, and two may have come together
    assert one_by_one == at_once
    outputs = [json.loads(line)["data"][0]["output"] for line in one_by_one.split("\n\n")[:-1] for line in [line[6:]]]
    assert outputs == [*TEXTS, ""]


async def test_a_client_that_knows_no_chunks_gets_none(
    tmp_path: Path, passed: Passed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, access_logger.name):
        body = await body_of(tmp_path / "old", STREAM, 0.01, version=aiohttp.HttpVersion10)
    assert passed.number > 0
    assert body == await body_of(tmp_path / "new", STREAM, 0)
    (line,) = [record.getMessage() for record in caplog.records if record.name == access_logger.name]
    (sent,) = re.findall(r"200 (\d+) bytes", line)
    assert 0 < int(sent) - len(body.encode()) < 1000  # headers, and the ends of ids


async def test_what_comes_before_the_reader_runs_is_decoded_once() -> None:
    first, second = event("a"), event("b")

    class Arrived(AiohttpResponse):
        def __init__(self) -> None:
            pass

        async def read(self, timeout: float | None) -> bytes:
            return first + second

    provider = CompatibleProvider("up", CompatibleServer(base_url="http://127.0.0.1"))
    stream = OpenAIStream(provider, Arrived(), 1, None)
    stream.on_batch = lambda batch: False
    assert not stream._on_data(first)
    assert [chunk.text for batch in (await anext(stream), await anext(stream)) for chunk in batch] == ["a", "b"]
    await provider.aclose()


async def test_an_event_may_be_cut_in_two(tmp_path: Path, passed: Passed) -> None:
    data = b"".join(STREAM)
    cut = await body_of(tmp_path / "cut", [data[at : at + 37] for at in range(0, len(data), 37)], 0.003)
    assert passed.number > 0
    assert cut == await body_of(tmp_path / "whole", [data], 0)


@pytest.mark.parametrize(
    ("last", "end", "words"),
    [
        (b'data: {"error": {"message": "out of luck"}}\n\n', b"0\r\n\r\n", "out of luck"),
        (b"data: {oops\n\n", b"0\r\n\r\n", "not as documented"),
        (event("late", index=7), b"0\r\n\r\n", "sample index 7"),
        (b": nothing more\n\n", b"0\r\n\r\n", "before sample 0 had a finish reason"),
        (b": nothing more\n\n", b"no chunk\r\n", "broke inside an answer"),
    ],
)
async def test_a_failure_comes_after_what_was_passed_on(
    tmp_path: Path, passed: Passed, last: bytes, end: bytes, words: str
) -> None:
    events = (await body_of(tmp_path / "v4", [*map(event, TEXTS), last], 0.01, end)).split("\n\n")[:-1]
    assert passed.number > 0
    *texts, failure = [json.loads(line[6:]) for line in events]
    assert [text["data"][0]["output"] for text in texts] == TEXTS
    assert words in json.dumps(failure)


async def test_a_client_that_does_not_read_is_waited_for(tmp_path: Path, passed: Passed) -> None:
    """What the connection cannot take stays with the provider, and nothing of it is lost."""
    large = [event(f"{number:06d}" + "x" * 20_000) for number in range(400)]
    script = [step for data in (*large, *END) for step in (chunk(data), 0.0005)]
    async with between(tmp_path, *script, b"0\r\n\r\n") as opened, opened() as response:
        await asyncio.sleep(1)
        body = await response.read()
    outputs = [json.loads(line[6:])["data"][0]["output"] for line in body.split(b"\n\n")[:-1]]
    assert [output[:6] for output in outputs] == [*(f"{number:06d}" for number in range(400)), ""]


async def test_an_end_that_comes_along_with_a_token_is_seen_at_once(tmp_path: Path, passed: Passed) -> None:
    """The connection stays open, so that nothing else would tell."""
    events = [chunk(event(text)) for text in TEXTS[:4]]
    script = (*(step for data in events[:3] for step in (data, 0.1)), events[3] + b"0\r\n\r\n")
    async with between(tmp_path, *script) as opened, asyncio.timeout(10), opened() as response:
        *texts, failure = (await response.text()).split("\n\n")[:-1]
    assert passed.number >= 1
    assert len(texts) == 4
    assert "before sample 0 had a finish reason" in failure


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
async def test_what_goes_wrong_on_the_short_way_ends_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """And is neither left to the event loop nor blamed on the provider."""

    def fails(self: EventStream, encode: Any, what: Any) -> bool:
        raise error("a mistake of ours")

    monkeypatch.setattr(EventStream, "try_send", fails)
    body = await body_of(tmp_path / "v4", STREAM, 0.01)
    assert "the server failed on this request" in body.split("\n\n")[-2]
