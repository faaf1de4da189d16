"""Streams over real sockets: the events' shape and order, silence, failures midway, clients that leave."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from humanloop_async.server.running.embedded import EmbeddedServer
from tests.server.served import CHAT, COMPLETION, Api, events_of, with_config


def _text(events: Iterable[dict[str, Any]], index: int = 0) -> str:
    return "".join(event["data"][0]["output"] for event in events if event["data"][0]["index"] == index)


async def _eventually(check: Callable[[], bool], seconds: float = 1) -> None:
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


async def test_a_client_that_stops_reading_gives_its_place_back(start: Callable[..., Any]) -> None:
    endless = with_config(CHAT, max_tokens=None, other={"tokens": 100_000})
    async with start(write_timeout=0.3, max_generations=1) as api:
        async with api.opened("/chat", endless) as response:
            assert response.status == 200
            await _eventually(lambda: [log["status"] for log in api.logs()] == ["cancelled"], 10)
        assert api.logs()[0]["error"] == "the client disconnected before the generation finished"
        assert (await api.post("/chat", CHAT))[0] == 200


@pytest.mark.parametrize(("path", "call"), [("/chat", CHAT), ("/completion", COMPLETION)])
async def test_events_add_up_to_the_answer_of_the_same_call(api: Api, path: str, call: dict[str, Any]) -> None:
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
    """Samples of different pace: the fast one is told to have finished while the slow one goes on."""
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
    """Another connection to the file, at the moment the event arrives, finds the whole log."""
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
        async with api.opened("/chat", slow) as response:
            body = await response.read()
        assert body.startswith(b": keep-alive\n\n" * 3)
        assert body.count(b": keep-alive\n\n") in (3, 4)
        assert body.endswith(b"}\n\n")


async def test_silence_between_events_is_filled_and_talk_is_not(start: Callable[..., Any]) -> None:
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
    assert last.keys() == {"detail"}
    assert (last["detail"]["code"], last["detail"]["type"]) == (429, "rate_limit_error")
    assert last["detail"]["origin"] == "Mock"
    [log] = api.logs()
    assert (log["status"], log["output"]) == ("error", _text(events).strip())
    assert last["detail"]["message"] in log["error"]
    assert log["finish_reason"] is None


async def test_a_failure_after_a_comment_is_an_event_too(start: Callable[..., Any]) -> None:
    """Once a comment has opened the stream there is no status left to say it with."""
    backend = web.Application()

    async def refuse(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.json_response({"error": {"message": "no such model"}}, status=404)

    backend.router.add_post("/v1/chat/completions", refuse)
    async with TestServer(backend) as provider, start(keep_alive=0.1, providers=_compatible(provider)) as api:
        async with api.opened("/chat", with_config(CHAT, provider="backend")) as response:
            assert response.status == 200
            body = await response.read()
        *_, last = body.removesuffix(b"\n\n").split(b"\n\n")
        assert json.loads(last.removeprefix(b"data: "))["detail"]["code"] == 404


async def test_a_sample_that_finished_before_the_failure_stays_whole(api: Api) -> None:
    """The second sample runs on when the provider fails; the first has its last event and its log."""
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


def _compatible(provider: BaseTestServer) -> ProviderSettings:
    return ProviderSettings(compatible={"backend": CompatibleServer(base_url=str(provider.make_url("/v1")))})


class _EndlessBackend:
    """An OpenAI-compatible provider that says words until its caller leaves, and knows when that was."""

    def __init__(self) -> None:
        self.left: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.app = web.Application()
        self.app.router.add_post("/v1/chat/completions", self.talk)

    async def talk(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            if not (await request.json()).get("stream"):
                await asyncio.sleep(3600)
            await response.prepare(request)
            while True:
                delta = {"choices": [{"index": 0, "delta": {"content": "on "}, "finish_reason": None}]}
                await response.write(b"data: " + json.dumps(delta).encode() + b"\n\n")
                await asyncio.sleep(0.02)
        finally:
            self.left.set_result(time.monotonic())


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_provider_within_a_second(start: Callable[..., Any], stream: bool) -> None:
    backend = _EndlessBackend()
    async with TestServer(backend.app) as provider, start(providers=_compatible(provider)) as api:
        call = with_config(CHAT, provider="backend", max_tokens=None)
        if stream:
            async with api.opened("/chat", call) as response:
                assert b'"on "' in await response.content.readany()
                response.close()
        else:
            asking = asyncio.create_task(api.post("/chat", call))
            await _eventually(lambda: [log["status"] for log in api.logs()] == ["running"])
            asking.cancel()
            await asyncio.wait([asking])
        left = time.monotonic()
        assert await asyncio.wait_for(backend.left, 10) - left < 5
        await _eventually(lambda: [log["status"] for log in api.logs()] == ["cancelled"])
        [log] = api.logs()
        assert "client" in log["error"]
        assert log["output"].startswith("on") is stream
        assert log["owner"] is None


async def test_a_slow_reader_holds_its_provider_back_and_nobody_else(api: Api) -> None:
    """With the first stream unread, its buffers fill up and it waits; others finish, and it is whole in the end."""
    call = with_config(CHAT, max_tokens=20_000, other={"tokens": 20_000})
    async with api.opened("/chat", call) as unread:
        for _ in range(3):
            assert len(await api.stream("/chat", CHAT)) == 5
        assert [log["status"] for log in api.logs()] == ["running", "complete", "complete", "complete"]
        assert len([event async for event in events_of(unread)]) == 20_000
    assert api.logs()[0]["status"] == "complete"


@pytest.mark.parametrize("size", [10_000, 100_000, 300_000])
async def test_large_requests_do_not_make_every_event_large(api: Api, size: int) -> None:
    """What repeats the request goes into later events only while it is small."""
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
def test_clients_that_leave_at_any_moment_leave_no_log_open(run: Callable[..., Any], tmp_path: Path) -> None:
    """Two hundred calls, most of them cut short somewhere between connecting and the last event. However slow the
    machine, the first one is left after its first event, and the second one read to its end."""
    moments = random.Random(1)

    async def call(server: EmbeddedServer, number: int) -> None:
        await asyncio.sleep(moments.random() * 2)
        body = {**with_config(CHAT, seed=number % 20), "num_samples": 1 + number % 3, "stream": number % 2 == 0}
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
        providers = ProviderSettings(mock_tokens_per_second=200)
        async with EmbeddedServer(database=tmp_path / "x.db", providers=providers) as server:
            api = Api(server, None, tmp_path / "x.db")  # type: ignore[arg-type]
            await asyncio.gather(*(call(server, number) for number in range(200)))
            await _eventually(lambda: "running" not in (log["status"] for log in api.logs()), seconds=5)
            return Counter(log["status"] for log in api.logs())

    statuses = run(main())
    assert statuses.keys() == {"cancelled", "complete"}
