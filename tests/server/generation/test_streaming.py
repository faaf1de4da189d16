"""Streams over real sockets: shape and order of events, keep-alives, failures midway, clients that disconnect."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from humanloop_async import AsyncHumanloop, Timeout
from humanloop_async.server.generation.streaming import EventStream
from humanloop_async.server.http.access_log import access_logger
from humanloop_async.server.providers.http_provider import HttpStream
from humanloop_async.server.providers.openai import CompatibleProvider
from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from humanloop_async.server.running.embedded import EmbeddedServer
from humanloop_async.testing import STREAM_HEAD, Action, ScriptedServer, Step, http_chunk, http_response
from humanloop_async.transport.aiohttp_transport import AiohttpResponse
from tests.events import sse
from tests.server.served import CHAT, COMPLETION, Api, events_of, with_config


def _text(events: Iterable[dict[str, Any]], index: int = 0) -> str:
    return "".join(event["data"][0]["output"] for event in events if event["data"][0]["index"] == index)


async def _eventually(check: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.01)


async def test_the_bytes_of_a_stream(api: Api) -> None:
    """``data: ``, one line of JSON, a blank line; no names, no ids, no ``[DONE]``."""
    async with api.opened("/completion", {**with_config(COMPLETION, max_tokens=2), "user": "u"}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Transfer-Encoding"] == "chunked"
        body = (await response.read()).decode()
    first, last = (json.loads(line.removeprefix("data: ")) for line in body.removesuffix("\n\n").split("\n\n"))
    id_, config, project = first["data"][0]["id"], first["data"][0]["model_config_id"], first["project_id"]
    words = [event["data"][0]["output"] for event in (first, last)]

    def expected(word: str, finish_reason: str, usage: str) -> str:
        text = json.dumps(word, ensure_ascii=False)
        return (
            f'data: {{"data":[{{"id":"{id_}","index":0,"output":{text},"raw_output":{text},'
            f'"inputs":{{"name":"Ada"}},"finish_reason":{finish_reason},"model_config_id":"{config}",'
            f'"tool_results":null}}],"provider_responses":[],"project_id":"{project}","num_samples":1,'
            f'"logprobs":null,"suffix":null,"user":"u","usage":{usage},"metadata":null,'
            '"provider_request":{"model":"words","n":1,"prompt":"Greet Ada","max_tokens":2},"session_id":null}\n\n'
        )

    usage = '{"prompt_tokens":2,"generation_tokens":2,"total_tokens":4,"reasoning_tokens":null}'
    assert body == expected(words[0], "null", "null") + expected(words[1], '"length"', usage)


async def test_a_client_that_stops_reading_frees_its_slot(start: Callable[..., Any]) -> None:
    endless = with_config(CHAT, max_tokens=None, other={"tokens": 100_000})
    async with start(write_timeout=0.3, max_generations=1) as api:
        async with api.opened("/chat", endless) as response:
            assert response.status == 200
            await _eventually(lambda: [log["status"] for log in api.logs()] == ["cancelled"], 10)
        assert api.logs()[0]["error"] == "the client disconnected before the generation finished"
        assert (await api.post("/chat", CHAT))[0] == 200


@pytest.mark.parametrize(("path", "call"), [("/chat", CHAT), ("/completion", COMPLETION)])
async def test_events_add_up_to_the_response_of_the_same_call(api: Api, path: str, call: dict[str, Any]) -> None:
    call = {**call, "num_samples": 3, "metadata": {"a": 1}}
    _, answer = await api.post(path, call)
    events = await api.stream(path, call)
    per_call = answer.keys() - {"data", "usage", "provider_responses"}
    for event in events:
        assert event.keys() == answer.keys()
        assert {name: event[name] for name in per_call} == {name: answer[name] for name in per_call}
        [sample] = event["data"]  # official clients read only the first
        assert sample.keys() == answer["data"][0].keys()
    assert [event["usage"] for event in events] == [None] * (len(events) - 1) + [answer["usage"]]
    for index, whole in enumerate(answer["data"]):
        samples = [event["data"][0] for event in events if event["data"][0]["index"] == index]
        assert "".join(sample["output"] for sample in samples) == whole["raw_output"]
        assert "".join(sample["raw_output"] for sample in samples) == whole["raw_output"]
        assert len({sample["id"] for sample in samples}) == 1
        assert {sample["model_config_id"] for sample in samples} == {whole["model_config_id"]}
        assert [sample["finish_reason"] for sample in samples] == [None] * (len(samples) - 1) + ["length"]
        if path == "/chat":
            assert samples[0]["messages"] == whole["messages"]
            assert {str(sample["messages"]) for sample in samples[1:]} == {"None"}
            assert "".join(sample["output_message"]["content"] for sample in samples) == whole["raw_output"]


async def test_samples_interleave_in_the_order_in_which_they_come(api: Api) -> None:
    """The end of a fast sample is sent while slower ones continue."""
    call = with_config(CHAT, max_tokens=20, other={"tokens_per_second": 100})
    events = await api.stream("/chat", {**call, "num_samples": 3})
    indexes = [event["data"][0]["index"] for event in events]
    assert indexes != sorted(indexes)
    ends = [at for at, event in enumerate(events) if event["data"][0]["finish_reason"]]
    assert len(ends) == 3
    assert ends[0] < len(events) - 1
    assert [log["status"] for log in api.logs()] == ["complete"] * 3


async def test_a_tool_call_comes_whole_in_the_last_event(api: Api) -> None:
    call = {**with_config(CHAT, tools=[{"name": "weather", "parameters": {}}]), "tool_choice": "required"}
    [event] = await api.stream("/chat", call)
    [sample] = event["data"]
    assert sample["finish_reason"] == "tool_call"
    assert sample["output"] == ""
    assert sample["tool_calls"][0]["function"] == sample["tool_call"]
    assert sample["output_message"]["content"] is None
    assert sample["output_message"]["tool_calls"] == sample["tool_calls"]
    assert event["tool_choice"] == "required"


async def test_inputs_are_left_out_of_every_event_when_they_are_not_wanted(api: Api) -> None:
    events = await api.stream("/completion", {**COMPLETION, "return_inputs": False})
    assert [event["data"][0]["inputs"] for event in events] == [{}] * len(events)


async def test_the_connection_serves_the_next_call(api: Api) -> None:
    ports = set()
    for _ in range(3):
        async with api.opened("/chat", CHAT) as response:
            assert response.connection is not None
            assert response.connection.transport is not None
            ports.add(response.connection.transport.get_extra_info("sockname"))
            await response.read()
    assert len(ports) == 1


async def test_a_sample_is_in_the_database_before_its_last_event(api: Api) -> None:
    """When the event arrives, another connection to the file finds the complete log."""
    call = with_config(CHAT, max_tokens=8, other={"tokens_per_second": 200})
    ended = 0
    async with api.opened("/chat", {**call, "num_samples": 4}) as response:
        texts: dict[str, str] = {}
        async for event in events_of(response):
            [sample] = event["data"]
            texts[sample["id"]] = texts.get(sample["id"], "") + sample["output"]
            if sample["finish_reason"]:
                ended += 1
                [log] = api.rows("SELECT status, output FROM logs WHERE id = ?", sample["id"])
                assert log == {"status": "complete", "output": texts[sample["id"]]}
    assert ended == 4


async def test_a_running_generation_is_found_as_running(api: Api) -> None:
    async with api.opened("/chat", with_config(CHAT, other={"tokens_per_second": 20})) as response:
        await response.content.readany()
        await _eventually(lambda: [log["status"] for log in api.logs()] == ["running"])
        [log] = api.logs()
        assert log["owner"].startswith("srv_")
        assert json.loads(log["messages"])[0]["content"] == "Hello"
        await response.read()
    assert api.logs()[0]["status"] == "complete"


async def test_silence_before_the_first_event_opens_the_stream_with_comments(start: Callable[..., Any]) -> None:
    async with start(keep_alive=0.1) as api:
        slow = with_config(CHAT, other={"start_delay": 0.45, "tokens_per_second": 1000})
        started = time.monotonic()
        async with api.opened("/chat", slow) as response:
            body = await response.read()
        assert body.startswith(b": keep-alive\n\n" * 3)
        assert body.count(b": keep-alive\n\n") <= (time.monotonic() - started) / 0.1
        assert body.endswith(b"}\n\n")


async def test_comments_are_sent_only_in_silence(start: Callable[..., Any]) -> None:
    async with start(keep_alive=0.2) as api:
        async with api.opened("/chat", with_config(CHAT, max_tokens=3, other={"tokens_per_second": 2})) as response:
            slow = await response.read()
        async with api.opened("/chat", with_config(CHAT, max_tokens=60, other={"tokens_per_second": 60})) as response:
            fast = await response.read()
        assert b"}\n\n: keep-alive\n\n: keep-alive\n\n" in slow
        assert b": keep-alive" not in fast


async def test_a_failure_after_the_first_event_is_the_last_event(api: Api) -> None:
    call = with_config(CHAT, max_tokens=50, other={"fail_after": 5, "status": 429})
    *events, last = await api.stream("/chat", call)
    assert len(events) == 5
    assert all(event["data"][0]["finish_reason"] is None for event in events)
    assert last.keys() == {"detail", "request_id"}
    assert (last["detail"]["code"], last["detail"]["type"]) == (429, "rate_limit_error")
    assert last["detail"]["origin"] == "Mock"
    [log] = api.logs()
    assert (log["status"], log["output"]) == ("error", _text(events).strip())
    assert last["detail"]["message"] in log["error"]
    assert log["finish_reason"] is None


async def test_a_failure_after_a_comment_is_an_event_too(start: Callable[..., Any]) -> None:
    """Once a comment has opened the stream, the status is sent."""
    async with ScriptedServer() as provider, start(keep_alive=0.1, providers=compatible(provider)) as api:
        provider.add_script(0.3, http_response({"error": {"message": "no such model"}}, 404))
        async with api.opened("/chat", with_config(CHAT, provider="up")) as response:
            assert response.status == 200
            body = await response.read()
        *_, last = body.removesuffix(b"\n\n").split(b"\n\n")
        assert json.loads(last.removeprefix(b"data: "))["detail"]["code"] == 404


async def test_a_sample_that_finished_before_the_failure_stays_whole(api: Api) -> None:
    """The second sample is unfinished when the provider fails; the first has its last event and its log."""
    call = with_config(CHAT, max_tokens=30, other={"tokens_per_second": 300})
    whole = await api.stream("/chat", {**call, "num_samples": 2})
    first_end = next(at for at, event in enumerate(whole) if event["data"][0]["finish_reason"])
    assert first_end < len(whole) - 1
    call = with_config(call, other={"tokens_per_second": 300, "fail_after": first_end + 1})
    *events, last = await api.stream("/chat", {**call, "num_samples": 2})
    assert last["detail"]["code"] == 503
    ended = [event["data"][0] for event in events if event["data"][0]["finish_reason"]]
    assert len(ended) == 1
    statuses = {log["id"]: log["status"] for log in api.logs()[2:]}
    assert statuses.pop(ended[0]["id"]) == "complete"
    assert list(statuses.values()) == ["error"]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_provider_stops_when_the_client_disconnects(start: Callable[..., Any], stream: bool) -> None:
    delta = {"choices": [{"index": 0, "delta": {"content": "on "}, "finish_reason": None}]}
    async with ScriptedServer() as provider, start(providers=compatible(provider)) as api:
        if stream:
            endless = (step for _ in range(1000) for step in (http_chunk(sse(delta)), 0.02))
            provider.add_script(STREAM_HEAD, *endless)
        else:
            provider.add_script(Action.WAIT)
        call = with_config(CHAT, provider="up", max_tokens=None)
        if stream:
            async with api.opened("/chat", call) as response:
                assert b'"on "' in await response.content.readany()
                response.close()
        else:
            asking = asyncio.create_task(api.post("/chat", call))
            await _eventually(lambda: [log["status"] for log in api.logs()] == ["running"])
            asking.cancel()
            await asyncio.wait([asking])
        await provider.wait_until_closed(5)
        await _eventually(lambda: [log["status"] for log in api.logs()] == ["cancelled"])
        [log] = api.logs()
        assert "client" in log["error"]
        assert log["output"].startswith("on") is stream
        assert log["owner"] is None


async def test_a_slow_reader_slows_down_only_its_provider(api: Api) -> None:
    """An unread stream waits when its buffers are full. Others finish, and it is complete in the end."""
    call = with_config(CHAT, max_tokens=20_000, other={"tokens": 20_000})
    async with api.opened("/chat", call) as unread:
        for _ in range(3):
            assert len(await api.stream("/chat", CHAT)) == 5
        assert [log["status"] for log in api.logs()] == ["running", "complete", "complete", "complete"]
        assert len([event async for event in events_of(unread)]) == 20_000
    assert api.logs()[0]["status"] == "complete"


@pytest.mark.parametrize("size", [10_000, 100_000, 300_000])
async def test_large_requests_do_not_make_every_event_large(api: Api, size: int) -> None:
    """Later events contain the fields that repeat the request only if those are small."""
    messages = [{"role": "user", "content": "x" * size}]
    async with api.opened("/chat", {**CHAT, "messages": messages}) as response:
        body = await response.read()
    first, *rest = body.removesuffix(b"\n\n").split(b"\n\n")
    assert len(first) <= 256 * 1024
    assert all(len(line) <= 64 * 1024 for line in rest)
    event = json.loads(first.removeprefix(b"data: "))
    sent = event["data"][0]["messages"]
    assert (sent and sent[0]["content"] == "x" * size) if size < 256 * 1024 else sent is None
    assert event["data"][0]["id"]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_no_log_stays_running_when_clients_disconnect_at_any_moment(run: Callable[..., Any], tmp_path: Path) -> None:
    """Two hundred calls, of which most clients disconnect between connecting and the last event.

    On any machine, the first client disconnects after its first event, and the second one reads to the end.
    """
    moments = random.Random(1)

    async def call(server: EmbeddedServer, number: int) -> None:
        await asyncio.sleep(moments.random() * 2)
        pace = {"tokens_per_second": 10 if number == 0 else 200}
        body = {
            **with_config(CHAT, seed=number % 20, other=pace),
            "num_samples": 1 + number % 3,
            "stream": number % 2 == 0,
        }
        try:
            async with (
                asyncio.timeout(moments.random() * 0.1 if number > 1 else None),
                aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session,
                session.post(server.base_url + "/chat", json={**body, "project": f"p{number % 10}"}) as response,
            ):
                await (response.content.readany() if number == 0 else response.read())
        except TimeoutError:
            pass

    async def main() -> Counter[str]:
        async with EmbeddedServer(database=tmp_path / "x.db") as server:
            api = Api(server, None, tmp_path / "x.db")  # type: ignore[arg-type]
            await asyncio.gather(*(call(server, number) for number in range(200)))
            await _eventually(lambda: "running" not in (log["status"] for log in api.logs()), seconds=5)
            return Counter(log["status"] for log in api.logs())

    statuses = run(main())
    assert statuses.keys() == {"cancelled", "complete"}


# The fast path: batches that are sent from the provider's protocol callback. The client must not see a difference.

TEXTS = ["Once", " upon", ' "a"\n', " naïve", " 🙂", " \\frac", " time"]


def event(text: str | None = None, **choice: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, **choice}]}).encode() + b"\n\n"


END = [event(finish_reason="stop"), b"data: [DONE]\n\n"]
STREAM = [*map(event, TEXTS), *END]


class FastPath:
    """Counts the batches that took the fast path."""

    batches = 0


@pytest.fixture
def fast_path(monkeypatch: pytest.MonkeyPatch) -> FastPath:
    counter, try_send = FastPath(), EventStream.try_send

    def counting(self: EventStream, encode: Any, batch: Any) -> bool:
        sent = try_send(self, encode, batch)
        counter.batches += sent
        return sent

    monkeypatch.setattr(EventStream, "try_send", counting)
    return counter


def compatible(upstream: ScriptedServer) -> ProviderSettings:
    return ProviderSettings(compatible={"up": CompatibleServer(base_url=f"{upstream.url}/v1")})


@asynccontextmanager
async def between(
    tmp_path: Path, *script: Step, version: aiohttp.HttpVersion = aiohttp.HttpVersion11
) -> AsyncIterator[Any]:
    """Run a server whose provider plays this script; yields a function that opens a stream."""
    upstream = ScriptedServer()
    upstream.add_script(STREAM_HEAD, *script)
    database = f"{tmp_path}.db"
    async with (
        upstream,
        EmbeddedServer(database=database, providers=compatible(upstream)) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}, version=version) as session,
    ):
        call = {**with_config(CHAT, provider="up", model="m"), "stream": True}
        yield lambda: session.post(f"{server.base_url}/chat", json=call)


async def body_of(
    tmp_path: Path, writes: Sequence[bytes], pause: float, end: bytes = b"0\r\n\r\n", **options: Any
) -> str:
    """Return the body that a client receives if the provider sends these writes, with a pause after each."""
    script = [step for data in writes for step in (http_chunk(data), pause)]
    async with between(tmp_path, *script, end, Action.CLOSE, **options) as opened, opened() as response:
        return re.sub(r"(data|config|pr)_\w{10,}", r"\1", await response.text())


async def test_the_fast_path_sends_the_same_bytes(tmp_path: Path, fast_path: FastPath) -> None:
    at_once = await body_of(tmp_path / "once", [b"".join(STREAM)], 0)
    assert fast_path.batches == 0
    one_by_one = await body_of(tmp_path / "one", STREAM, 0.01)
    assert fast_path.batches >= len(TEXTS) - 2  # the first opens the response, and two may have come together
    assert one_by_one == at_once
    outputs = [json.loads(line)["data"][0]["output"] for line in one_by_one.split("\n\n")[:-1] for line in [line[6:]]]
    assert outputs == [*TEXTS, ""]


async def test_the_fast_path_sends_no_chunks_to_an_http_1_0_client(
    tmp_path: Path, fast_path: FastPath, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, access_logger.name):
        body = await body_of(tmp_path / "old", STREAM, 0.01, version=aiohttp.HttpVersion10)
    assert fast_path.batches > 0
    assert body == await body_of(tmp_path / "new", STREAM, 0)
    (line,) = [record.getMessage() for record in caplog.records if record.name == access_logger.name]
    (sent,) = re.findall(r"200 (\d+) bytes", line)
    assert 0 < int(sent) - len(body.encode()) < 1000  # headers, and the ends of ids


async def test_data_that_the_callback_declines_is_decoded_once() -> None:
    first, second = event("a"), event("b")

    class Arrived(AiohttpResponse):
        def __init__(self) -> None:
            pass

        async def read(self, timeout: float | None) -> bytes:
            return first + second

    provider = CompatibleProvider("up", CompatibleServer(base_url="http://127.0.0.1"))
    stream = HttpStream(provider, Arrived(), 1, None)
    stream.on_batch = lambda batch: False
    assert not stream._on_data(first)
    assert [chunk.text for batch in (await anext(stream), await anext(stream)) for chunk in batch] == ["a", "b"]
    await provider.aclose()


async def test_the_fast_path_accepts_events_cut_in_two(tmp_path: Path, fast_path: FastPath) -> None:
    data = b"".join(STREAM)
    cut = await body_of(tmp_path / "cut", [data[at : at + 37] for at in range(0, len(data), 37)], 0.003)
    assert fast_path.batches > 0
    assert cut == await body_of(tmp_path / "whole", [data], 0)


@pytest.mark.parametrize(
    ("last", "end", "message"),
    [
        (b'data: {"error": {"message": "out of luck"}}\n\n', b"0\r\n\r\n", "out of luck"),
        (b"data: {oops\n\n", b"0\r\n\r\n", "not as documented"),
        (event("late", index=7), b"0\r\n\r\n", "sample index 7"),
        (b": nothing more\n\n", b"0\r\n\r\n", "before sample 0 had a finish reason"),
        (b": nothing more\n\n", b"no chunk\r\n", "broke within a response"),
    ],
)
async def test_a_failure_comes_after_the_texts_before_it(
    tmp_path: Path, fast_path: FastPath, last: bytes, end: bytes, message: str
) -> None:
    events = (await body_of(tmp_path / "v4", [*map(event, TEXTS), last], 0.01, end)).split("\n\n")[:-1]
    assert fast_path.batches > 0
    *texts, failure = [json.loads(line[6:]) for line in events]
    assert [text["data"][0]["output"] for text in texts] == TEXTS
    assert message in json.dumps(failure)


async def test_the_fast_path_waits_for_a_client_that_does_not_read(tmp_path: Path, fast_path: FastPath) -> None:
    """Data that the connection does not accept stays with the provider, and none is lost."""
    large = [event(f"{number:06d}" + "x" * 20_000) for number in range(400)]
    script = [step for data in (*large, *END) for step in (http_chunk(data), 0.0005)]
    async with between(tmp_path, *script, b"0\r\n\r\n") as opened, opened() as response:
        await asyncio.sleep(1)
        body = await response.read()
    outputs = [json.loads(line[6:])["data"][0]["output"] for line in body.split(b"\n\n")[:-1]]
    assert [output[:6] for output in outputs] == [*(f"{number:06d}" for number in range(400)), ""]


async def test_an_end_in_the_same_read_as_a_token_is_noticed_at_once(tmp_path: Path, fast_path: FastPath) -> None:
    """The connection stays open, so its end cannot reveal the end of the stream."""
    events = [http_chunk(event(text)) for text in TEXTS[:4]]
    script = (*(step for data in events[:3] for step in (data, 0.1)), events[3] + b"0\r\n\r\n")
    async with between(tmp_path, *script) as opened, asyncio.timeout(10), opened() as response:
        *texts, failure = (await response.text()).split("\n\n")[:-1]
    assert fast_path.batches >= 1
    assert len(texts) == 4
    assert "before sample 0 had a finish reason" in failure


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
async def test_an_error_on_the_fast_path_ends_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """The error neither goes to the event loop nor counts as the provider's."""

    def fails(self: EventStream, encode: Any, batch: Any) -> bool:
        raise error("a mistake of ours")

    monkeypatch.setattr(EventStream, "try_send", fails)
    body = await body_of(tmp_path / "v4", STREAM, 0.01)
    assert "internal server error" in body.split("\n\n")[-2]


# Reasoning

THINKING = [
    *(
        b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "h%d "}}]}\n\n' % number
        for number in range(12)
    ),
    *(
        b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "a", "function": %b}]}}]}\n\n'
        % function
        for function in (b'{"name": "f", "arguments": "{"}', *[b'{"arguments": " "}'] * 10, b'{"arguments": "}"}')
    ),
]
THOUGHTS = "".join(f"h{number} " for number in range(12))
COUNTS = b'"usage": {"prompt_tokens": 2, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}'


async def test_a_thinking_model_counts_as_active_and_its_reasoning_is_kept_apart(tmp_path: Path) -> None:
    """The client waits for 1.5 s at most, the model thinks and writes a tool call for 4.8 s."""
    upstream = ScriptedServer()
    end = event(finish_reason="stop") + b'data: {"choices": [], %b}\n\ndata: [DONE]\n\n' % COUNTS
    steps = [step for data in (*THINKING, event("Hello")) for step in (http_chunk(data), 0.2)]
    upstream.add_script(STREAM_HEAD, *steps, http_chunk(end), b"0\r\n\r\n")
    async with upstream, EmbeddedServer(database=tmp_path / "x.db", providers=compatible(upstream)) as server:
        client = AsyncHumanloop(api_key=server.api_key, base_url=server.base_url)
        async with client.chat_stream(
            project="p",
            model_config={"provider": "up", "model": "m"},
            messages=[{"role": "user", "content": "hi"}],
            timeout=Timeout(first_token=1.5, idle=1.5),
        ) as stream:
            chunks = [received async for received in stream]
            (sample,) = stream.samples
            whole = await stream.final()
        log = await client.logs.get(chunks[0].id or "")
        await client.aclose()
    progress = [received for received in chunks if not received.output and received.finish_reason is None]
    assert 3 <= len(progress) <= 6
    assert "".join(received.reasoning for received in chunks) == THOUGHTS
    assert (sample.reasoning, sample.text, sample.finish_reason) == (THOUGHTS, "Hello", "tool_call")
    assert (whole.data[0].reasoning, whole.data[0].output) == (THOUGHTS, "Hello")
    assert whole.usage is not None
    assert whole.usage.reasoning_tokens == 7
    assert (log.reasoning, log.output) == (THOUGHTS, "Hello")
    assert log.output_message is not None
    assert [made.function.arguments for made in log.output_message.tool_calls or ()] == ["{" + " " * 10 + "}"]


@pytest.mark.parametrize("save", [True, False])
async def test_the_reasoning_of_a_plain_call_is_returned_and_stored(tmp_path: Path, save: bool) -> None:
    """And repeated with an Idempotency-Key, also as a stream. Without `save` the log has none."""
    message = b'{"message": {"content": "Hello", "reasoning": "hm"}, "finish_reason": "stop"}'
    body = b'{"choices": [%b], %b}' % (message, COUNTS)
    upstream = ScriptedServer()
    upstream.add_script(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    call = {**with_config(CHAT, provider="up", model="m"), "save": save}
    async with upstream, EmbeddedServer(database=tmp_path / "x.db", providers=compatible(upstream)) as server:
        headers = {"X-API-KEY": server.api_key, "Idempotency-Key": "k"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for _ in range(2):
                async with session.post(f"{server.base_url}/chat", json=call) as response:
                    found = await response.json()
                    assert (found["data"][0]["output"], found["data"][0]["reasoning"]) == ("Hello", "hm")
                    assert found["usage"]["reasoning_tokens"] == 7
                    assert found["provider_responses"][0]["choices"][0]["message"]["reasoning"] == "hm"
            async with session.get(f"{server.base_url}/logs/{found['data'][0]['id']}") as response:
                assert (await response.json())["reasoning"] == ("hm" if save else None)
    assert len(upstream.requests) == 1


async def test_all_examples_of_the_0_5_completions_page_work_with_a_compatible_server(tmp_path: Path) -> None:
    """They have `suffix` and `logprobs`, which go to the legacy completions, as do the defaults of the other fields."""
    body = b'{"choices": [{"text": "Hello", "index": 0, "logprobs": {"tokens": ["Hello"]}, "finish_reason": "stop"}]}'
    upstream = ScriptedServer()
    upstream.add_script(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    config: dict[str, Any] = {
        "model": "model_example",
        "max_tokens": -1,
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "prompt_template": "{{question}}",
    }
    call = {
        "inputs": {"question": "Why?"},
        "source": "string_example",
        "metadata": {},
        "provider_api_keys": {"openai": "OPENAI_API_KEY", "ai21": "AI21_API_KEY", "mock": "MOCK_API_KEY"},
        "num_samples": 1,
        "logprobs": 1,
        "stream": False,
        "suffix": "string_example",
        "user": "string_example",
        "project": "string_example",
        "session_reference_id": "string_example",
    }
    async with (
        upstream,
        EmbeddedServer(
            database=tmp_path / "x.db", providers=ProviderSettings(openai_base_url=f"{upstream.url}/v1")
        ) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session,
    ):

        async def post(path: str, fields: dict[str, Any]) -> Any:
            async with session.post(server.base_url + path, json=fields) as response:
                assert response.status in (200, 201), await response.text()
                return await response.json()

        registered = await post("/model-configs", {**config, "project": "string_example"})
        experiment = await post(
            f"/projects/{registered['project_id']}/experiments",
            {"name": "e", "positive_labels": [], "config_ids": [registered["config"]["id"]], "set_active": False},
        )
        for path, selector in (
            ("/completion", {"model_config": config}),
            ("/completion-deployed", {}),
            ("/completion-experiment", {"experiment_id": experiment["id"]}),
            ("/completion-model-config", {"model_config_id": registered["config"]["id"]}),
        ):
            found = await post(path, call | selector)
            assert (found["data"][0]["output"], found["logprobs"], found["suffix"]) == ("Hello", 1, "string_example")
            assert found["provider_responses"][0]["choices"][0]["logprobs"] == {"tokens": ["Hello"]}
    assert len(upstream.requests) == 4
    for request in upstream.requests:
        assert request.path == "/v1/completions"
        assert request.headers["authorization"] == "Bearer OPENAI_API_KEY"
        assert request.json == {
            "model": "model_example",
            "prompt": "Why?",
            "suffix": "string_example",
            "logprobs": 1,
            "user": "string_example",
            "max_tokens": request.json["max_tokens"],
        }
