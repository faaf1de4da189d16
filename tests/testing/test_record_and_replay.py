"""Recordings of real servers, played back to both clients."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from humanloop_async import (
    AiohttpTransport,
    ApiConnectionError,
    AsyncHumanloop,
    HttpxTransport,
    Humanloop,
    IdleTimeout,
    InvalidArgument,
    RateLimitError,
    StreamTruncated,
    Transport,
)
from humanloop_async.testing import (
    LAST_CHUNK,
    STREAM_HEAD,
    Action,
    InvalidRecording,
    RecordedCall,
    RecordedRead,
    RecordingEnded,
    RecordingNotFound,
    RecordingTransport,
    ReplayTransport,
    ScriptedServer,
    TestServer,
    UnmatchedRequest,
    http_chunk,
    load_recording,
    save_recording,
)
from humanloop_async.testing.record import Mode
from humanloop_async.wire.requests import HttpRequest
from tests.events import completion, event, interleaved, text_of, words

CALL: dict[str, Any] = {"project": "sky", "model_config": {"model": "m", "prompt_template": "p"}}
BODY = b'{"project":"sky","model_config":{"model":"m","prompt_template":"p"},"stream":true}'
"""The body of a streamed completion with these arguments."""
URL = "http://127.0.0.1:1/v4"
"""Nothing listens here: a replay needs no server."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recordings" / "stream.jsonl"


@pytest.fixture(params=["aiohttp", "httpx"])
async def recorder(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[RecordingTransport]:
    inner = AiohttpTransport() if request.param == "aiohttp" else HttpxTransport()
    transport = RecordingTransport(inner, path)
    yield transport
    await transport.aclose()


def url_of(server: ScriptedServer) -> str:
    return f"{server.url}/v4"


async def read_all(transport: Transport, url: str, body: bytes = b"{}") -> list[bytes]:
    """Return every read of one response."""
    response = await transport.send(HttpRequest("POST", f"{url}/chat", {}, body), 10)
    reads = []
    while data := await response.read(10):
        reads.append(data)
    return reads


def client_of(transport: Transport, url: str = URL) -> AsyncHumanloop:
    return AsyncHumanloop("hl_secret_key", base_url=url, transport=transport, max_retries=0)


async def test_every_read_is_replayed_byte_for_byte(
    recorder: RecordingTransport, path: Path, server: ScriptedServer
) -> None:
    """Also bytes that are no text, and a character split over two reads."""
    parts = [b"data: \xc3", b"\xa9\n\n", bytes(range(256)), b"data: end\n\n"]
    server.add_script(STREAM_HEAD, *(step for part in parts for step in (http_chunk(part), 0.05)), LAST_CHUNK)
    assert await read_all(recorder, url_of(server)) == parts
    replay = ReplayTransport(path, math.inf)
    assert await read_all(replay, URL) == parts
    assert replay.unused == []


async def test_the_response_has_its_status_reason_and_headers(
    recorder: RecordingTransport, path: Path, server: ScriptedServer
) -> None:
    server.add_response({"detail": "slow down"}, "429 Too Many", {"Retry-After": "7", "X-Request-Id": "r1"})
    for transport, url in ((recorder, url_of(server)), (None, URL)):
        async with client_of(transport or ReplayTransport(path), url) as client:
            with pytest.raises(RateLimitError, match="slow down") as caught:
                await client.complete(**CALL)
        assert (caught.value.status, caught.value.reason, caught.value.retry_after) == (429, "Too Many", 7)
        assert caught.value.headers["x-request-id"] == "r1"


async def test_the_async_and_the_sync_client_replay_the_embedded_server(
    recorder: RecordingTransport, path: Path, humanloop_server: TestServer
) -> None:
    config: Any = {"provider": "mock", "model": "any", "prompt_template": "Hi"}
    call: dict[str, Any] = {**CALL, "num_samples": 3, "model_config": config}
    async with client_of_key(recorder, humanloop_server) as client, client.complete_stream(**call) as stream:
        recorded = await stream.final()
    for _ in range(2):
        async with client_of(ReplayTransport(path, math.inf)) as client, client.complete_stream(**call) as stream:
            assert (await stream.final()).body == recorded.body

    def replay_sync() -> Any:
        with Humanloop(base_url=URL, transport=ReplayTransport(path, math.inf)) as client:
            with client.complete_stream(**call) as stream:
                chunks = list(stream)
            return stream.final().body, len(chunks)

    body, count = await asyncio.to_thread(replay_sync)
    assert body == recorded.body
    assert count > 3


def client_of_key(transport: Transport, server: TestServer) -> AsyncHumanloop:
    return AsyncHumanloop(server.api_key, base_url=server.base_url, transport=transport)


def test_a_replay_runs_under_trio(path: Path) -> None:
    save_recording(path, [stream_call(*words("a", "b"), gap=0.01)])

    async def main() -> str:
        async with client_of(ReplayTransport(path)) as client, client.complete_stream(**CALL) as stream:
            return (await stream.final()).data[0].output

    assert anyio.run(main, backend="trio") == "ab"


def stream_call(*reads: bytes, gap: float = 0.0, cause: Any = "complete", **changes: Any) -> RecordedCall:
    """Return a recorded stream of a completion, with equal gaps between its reads."""
    settings: dict[str, Any] = {
        "method": "POST",
        "url": "http://recorded.example/v4/completion",
        "body": BODY,
        "status": 200,
        "response_headers": {"Content-Type": "text/event-stream"},
        "reads": [RecordedRead(gap * number, data) for number, data in enumerate(reads, 1)],
        "ended_at": gap * (len(reads) + 1),
        "cause": cause,
        **changes,
    }
    return RecordedCall(**settings)


async def times_of_reads(path: Path, speed: float) -> list[float]:
    response = await ReplayTransport(path, speed).send(HttpRequest("POST", f"{URL}/completion", {}, BODY), None)
    started, times = time.monotonic(), []
    while await response.read(None):
        times.append(time.monotonic() - started)
    return times


async def test_the_recorded_times_are_kept_scaled_or_skipped(path: Path) -> None:
    """No read comes before its time, whatever the machine does; without waiting, reads take no time to speak of."""
    save_recording(path, [stream_call(*[b"x"] * 5, gap=0.1)])
    for speed in (1.0, 2.0, 0.5):
        times = await times_of_reads(path, speed)
        assert all(at >= number * 0.1 / speed - 0.005 for number, at in enumerate(times, 1))
    save_recording(path, [stream_call(*[b"x"] * 5, gap=3600)])
    async with asyncio.timeout(10):
        assert len(await times_of_reads(path, math.inf)) == 5


async def test_the_times_of_reads_are_recorded(
    recorder: RecordingTransport, path: Path, server: ScriptedServer
) -> None:
    server.add_script(0.2, STREAM_HEAD, 0.2, http_chunk(b"a"), 0.2, http_chunk(b"b"), 0.2, LAST_CHUNK)
    await read_all(recorder, url_of(server))
    [call] = load_recording(path)
    times = [0.0, call.responded_at, *(read.at for read in call.reads), call.ended_at]
    assert all(later - earlier > 0.1 for earlier, later in itertools.pairwise(times))
    assert len(times) == 5


BROKEN = {
    "cut": ((STREAM_HEAD, http_chunk(event(output="a")), Action.CLOSE), "cut"),
    "reset": ((STREAM_HEAD, http_chunk(event(output="a")), 0.1, Action.RESET), "reset"),
    "half a chunk": ((STREAM_HEAD, http_chunk(event(output="a")), b"99\r\nda", Action.CLOSE), "cut"),
    "clean end": ((STREAM_HEAD, http_chunk(event(output="a")), LAST_CHUNK), "complete"),
}


@pytest.mark.parametrize(("script", "cause"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_stream_breaks_again(
    recorder: RecordingTransport, path: Path, server: ScriptedServer, script: tuple[Any, ...], cause: str
) -> None:
    server.add_script(*script)
    with pytest.raises(StreamTruncated) as recorded:
        async with client_of(recorder, url_of(server)) as client, client.complete_stream(**CALL) as stream:
            await stream.final()
    [call] = load_recording(path)
    assert call.cause == cause
    with pytest.raises(StreamTruncated) as replayed:
        async with client_of(ReplayTransport(path)) as client, client.complete_stream(**CALL) as stream:
            await stream.final()
    for caught in (recorded, replayed):
        assert caught.value.partial is not None
        assert caught.value.partial.data[0].output == "a"
    assert str(replayed.value) == str(recorded.value)
    assert (replayed.value.__cause__ is None) == (recorded.value.__cause__ is None) == (cause == "complete")


async def test_a_failed_connection_fails_again(recorder: RecordingTransport, path: Path) -> None:
    with pytest.raises(ApiConnectionError, match=r"(?i)connect"):
        await client_of(recorder).complete(**CALL)
    assert load_recording(path)[0].cause == "unreachable"
    with pytest.raises(ApiConnectionError, match=r"(?i)connect"):
        await client_of(ReplayTransport(path)).complete(**CALL)


async def test_a_timeout_is_recorded_and_replayed(
    recorder: RecordingTransport, path: Path, server: ScriptedServer
) -> None:
    server.add_stream(event(output="a"), end=(Action.WAIT,))
    for transport, url in ((recorder, url_of(server)), (None, URL)):
        async with client_of(transport or ReplayTransport(path), url) as client:
            with pytest.raises(IdleTimeout):
                async with client.complete_stream(**CALL, timeout=0.3) as stream:
                    await stream.final()
    assert load_recording(path)[0].cause == "timeout"


async def test_a_stream_that_its_reader_left_cannot_be_read_further(
    recorder: RecordingTransport, path: Path, server: ScriptedServer
) -> None:
    server.add_stream(event(output="a"), end=(Action.WAIT,))
    async with client_of(recorder, url_of(server)) as client, client.complete_stream(**CALL) as stream:
        async for _ in stream:
            break
    async with client_of(ReplayTransport(path)) as client, client.complete_stream(**CALL) as stream:
        async for part in stream:
            assert part.output == "a"
            break
    with pytest.raises(StreamTruncated) as caught:
        async with client_of(ReplayTransport(path)) as client, client.complete_stream(**CALL) as stream:
            await stream.final()
    assert isinstance(caught.value.__cause__, RecordingEnded)
    assert "its first reader closed the response" in str(caught.value.__cause__)


async def test_concurrent_streams_are_recorded_whole(
    recorder: RecordingTransport, path: Path, server: ScriptedServer
) -> None:
    """Each call is one block of lines, although the streams took turns."""
    server.add_stream(*interleaved(2, 20))
    async with client_of(recorder, url_of(server)) as client:

        async def run(number: int) -> None:
            async with client.complete_stream(**{**CALL, "project": str(number)}, num_samples=2) as stream:
                await stream.final()

        await asyncio.gather(*map(run, range(8)))
    assert {call.cause for call in load_recording(path)} == {"complete"}
    async with client_of(ReplayTransport(path, math.inf)) as client:
        for number in reversed(range(8)):
            async with client.complete_stream(**{**CALL, "project": str(number)}, num_samples=2) as stream:
                samples = (await stream.final()).data
            assert [sample.output for sample in samples] == [text_of(0, 20).strip(), text_of(1, 20).strip()]


# Matching


async def test_equal_requests_get_their_responses_in_order(path: Path) -> None:
    save_recording(path, [stream_call(*words(text)) for text in ("one", "two")])

    async def text(client: AsyncHumanloop) -> str:
        async with client.complete_stream(**CALL) as stream:
            return (await stream.final()).data[0].output

    async with client_of(ReplayTransport(path)) as client:
        assert [await text(client), await text(client)] == ["one", "two"]
        with pytest.raises(UnmatchedRequest, match=r"all 2 recorded calls of this POST /v4/completion were played"):
            await text(client)
    async with client_of(ReplayTransport(path, repeat=True)) as client:
        assert [await text(client) for _ in range(5)] == ["one", "two", "one", "two", "one"]


async def test_another_order_of_fields_another_key_and_another_host_match(path: Path) -> None:
    body = b'{"b":[1,{"y":2,"x":1.0}],"a":"t","provider_api_keys":{"openai":"REDACTED"}}'
    save_recording(path, [stream_call(b"x", url="https://api.example:444/v4/chat?page=1&key=REDACTED", body=body)])
    sent = b'{"a":"t", "b":[1,{"x":1.0,"y":2}]}'
    response = await ReplayTransport(path).send(HttpRequest("POST", f"{URL}/chat?page=1", {"X": "y"}, sent), 1)
    assert await response.read(1) == b"x"


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (HttpRequest("GET", f"{URL}/completion", {}), r"has no GET /v4/completion; it has POST /v4/completion"),
        (HttpRequest("POST", f"{URL}/chat", {}, b"{}"), r"has no POST /v4/chat; it has POST /v4/completion"),
        (
            HttpRequest(
                "POST", f"{URL}/completion", {}, b'{"project":"sea","inputs":{},"num_samples":1,"stream":true}'
            ),
            r'- +"project": "sky",\n\+ +"project": "sea",',
        ),
        (HttpRequest("POST", f"{URL}/completion?page=2", {}, stream_call().body), r"\+ page=2"),
        (HttpRequest("POST", f"{URL}/completion", {}, b"no json"), "no json"),
        (HttpRequest("POST", f"{URL}/completion", {}, b"\xff"), r"\\xff"),
    ],
    ids=["method", "path", "body", "query", "text", "binary"],
)
async def test_an_unmatched_request_is_an_error_that_shows_the_difference(
    path: Path, request_: HttpRequest, problem: str
) -> None:
    save_recording(path, [stream_call(*words("one"))])
    with pytest.raises(UnmatchedRequest, match=problem) as caught:
        await ReplayTransport(path).send(request_, 1)
    assert caught.value.path == path
    assert not caught.value.retryable


async def test_an_empty_recording_is_named_in_the_error(path: Path) -> None:
    save_recording(path, [])
    with pytest.raises(UnmatchedRequest, match="it has no calls"):
        await client_of(ReplayTransport(path)).complete(**CALL)


# Modes


async def run_mode(path: Path, server: ScriptedServer, mode: Mode, *projects: str) -> list[str]:
    """Complete each project in one mode, and return the texts."""
    transport = RecordingTransport(AiohttpTransport(), path, mode)
    async with client_of(transport, url_of(server)) as client:
        texts = [(await client.complete(**{**CALL, "project": project})).data[0].output for project in projects]
    await transport.aclose()
    return texts


@pytest.fixture
def counting(server: ScriptedServer) -> ScriptedServer:
    """A server whose responses are "0", "1" and so on."""
    for number in range(9):
        server.add_response(completion(str(number)))
    return server


async def test_mode_all_records_everything_again(path: Path, counting: ScriptedServer) -> None:
    assert await run_mode(path, counting, "all", "a", "b") == ["0", "1"]
    assert await run_mode(path, counting, "all", "a") == ["2"]
    assert len(load_recording(path)) == 1


async def test_mode_once_records_the_first_time_only(path: Path, counting: ScriptedServer) -> None:
    assert await run_mode(path, counting, "once", "a", "b") == ["0", "1"]
    assert await run_mode(path, counting, "once", "b", "a") == ["1", "0"]
    with pytest.raises(UnmatchedRequest, match=r"with mode='new'"):
        await run_mode(path, counting, "once", "c")
    assert len(counting.requests) == 2


async def test_mode_new_adds_calls(path: Path, counting: ScriptedServer) -> None:
    assert await run_mode(path, counting, "new", "a") == ["0"]
    assert await run_mode(path, counting, "new", "a", "b", "a") == ["0", "1", "2"]
    assert await run_mode(path, counting, "none", "a", "a", "b") == ["0", "2", "1"]
    assert len(counting.requests) == 3


async def test_mode_none_sends_nothing(path: Path, counting: ScriptedServer) -> None:
    with pytest.raises(RecordingNotFound, match=r"there is no recording .*with mode='new'"):
        await run_mode(path, counting, "none", "a")
    await run_mode(path, counting, "all", "a")
    with pytest.raises(UnmatchedRequest):
        await run_mode(path, counting, "none", "b")
    assert len(counting.requests) == 1


def post(server: ScriptedServer) -> HttpRequest:
    return HttpRequest("POST", f"{server.url}/v4/completion", {}, BODY)


def take_calls(pipe: Path, calls: int) -> bytes:
    """Return what is written to a pipe, until it has that many calls."""
    content = b""
    with pipe.open("rb", buffering=0) as file:
        while content.count(b'"type":"end"') < calls:
            content += file.readall()
            time.sleep(0.01)
    return content


async def test_a_slow_disk_does_not_stop_the_event_loop(
    server: ScriptedServer, recorder: RecordingTransport, path: Path, tmp_path: Path
) -> None:
    """The last read waits until the call is written, and other calls go on. A cancelled wait loses nothing."""
    path.parent.mkdir()
    os.mkfifo(path)  # blocks its writer until it is read
    server.add_stream(*words("a"))
    response = await recorder.send(post(server), 10)
    assert await response.read(10) == words("a")[0]
    last = asyncio.create_task(response.read(10))
    other = await recorder.send(post(server), 10)
    assert await other.read(10) == words("a")[0]
    assert not last.done()
    last.cancel()
    with pytest.raises(asyncio.CancelledError):
        await last
    other.close()
    closing = asyncio.create_task(recorder.aclose())
    (tmp_path / "copy.jsonl").write_bytes(await asyncio.to_thread(take_calls, path, 2))
    await closing
    calls = load_recording(tmp_path / "copy.jsonl")
    assert [(call.content, call.cause) for call in calls] == [(words("a")[0], "complete"), (words("a")[0], "closed")]


async def test_a_failure_to_write_is_raised_where_the_call_ends(server: ScriptedServer, path: Path) -> None:
    """By the last read, by `aclose` of the response, and else by `aclose` of the transport. None is lost."""
    path.parent.write_text("not a folder")
    transport = RecordingTransport(AiohttpTransport(), path)
    server.add_stream(*words("a"))
    for leave in ("read", "aclose", "close"):
        response = await transport.send(post(server), 10)
        await response.read(10)
        if leave == "close":
            response.close()
        else:
            with pytest.raises(FileExistsError, match="recordings"):
                await (response.read(10) if leave == "read" else response.aclose())
    with pytest.raises(FileExistsError, match="recordings"):
        await transport.aclose()


async def test_calls_are_written_in_the_order_of_their_ends(
    server: ScriptedServer, recorder: RecordingTransport, path: Path
) -> None:
    server.add_stream(*words("a"), end=(Action.WAIT,))
    responses = [await recorder.send(post(server), 10) for _ in range(20)]
    for response in responses:
        response.close()
    await recorder.aclose()
    assert [call.cause for call in load_recording(path)] == ["closed"] * 20
    at = [call.at for call in load_recording(path)]
    assert at == sorted(at)


def test_a_damaged_recording_is_not_overwritten_by_new_calls(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    for mode in ("none", "once", "new"):
        with pytest.raises(InvalidRecording):
            RecordingTransport(AiohttpTransport(), path, mode)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("speed", [0, -1, math.nan, "fast"])
def test_a_wrong_speed_is_rejected(path: Path, speed: Any) -> None:
    save_recording(path, [])
    with pytest.raises(InvalidArgument, match=f"speed={speed!r} is invalid"):
        ReplayTransport(path, speed)


def test_a_wrong_mode_is_rejected(path: Path) -> None:
    with pytest.raises(InvalidArgument, match="pass one of none, once, new, all"):
        RecordingTransport(AiohttpTransport(), path, "sometimes")  # type: ignore[arg-type]


# The contract of a response


async def open_replay(path: Path, call: RecordedCall) -> Any:
    save_recording(path, [call])
    return await ReplayTransport(path).send(HttpRequest("POST", f"{URL}/completion", {}, call.body), None)


async def test_a_read_ends_at_its_timeout_and_stays_ended(path: Path) -> None:
    response = await open_replay(path, stream_call(b"a", gap=60))
    with pytest.raises(TimeoutError):
        await response.read(0.05)
    with pytest.raises(TimeoutError):
        await response.read(100)


async def test_a_cancelled_read_loses_no_bytes(path: Path) -> None:
    response = await open_replay(path, stream_call(b"a", b"b", gap=0.2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.read(None), 0.02)
    assert [await response.read(5), await response.read(5), await response.read(5)] == [b"a", b"b", b""]
    assert await response.read(0) == b""


async def test_a_read_with_a_timeout_of_zero_does_not_wait(path: Path) -> None:
    response = await open_replay(path, stream_call(b"a", b"b", gap=0.2))
    await asyncio.sleep(0.25)
    assert await response.read(0) == b"a"
    with pytest.raises(TimeoutError):
        await response.read(0)


async def test_closing_ends_a_read_that_waits(path: Path) -> None:
    """Also from another thread, where finalizers may run."""
    for close in (lambda response: response.close(), lambda response: asyncio.to_thread(response.close)):
        response = await open_replay(path, stream_call(b"a", gap=60))
        reading = asyncio.create_task(response.read(None))
        await asyncio.sleep(0.01)
        if (pending := close(response)) is not None:
            await pending
        with pytest.raises(ApiConnectionError, match="closed"):
            await asyncio.wait_for(reading, 10)
        with pytest.raises(ApiConnectionError, match="closed"):
            await response.read(1)


async def test_headers_come_at_their_time_or_not_at_all(path: Path) -> None:
    call = stream_call(b"a", gap=60, responded_at=30)
    save_recording(path, [call])
    with pytest.raises(TimeoutError):
        await ReplayTransport(path).send(HttpRequest("POST", f"{URL}/completion", {}, call.body), 0.05)
