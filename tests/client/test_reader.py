"""How a stream ends: complete, cut, invalid, with an error event, at a timeout, too large."""

# ruff: noqa: PT012 - a stream raises from a loop, so the loop is inside of `raises`

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from humanloop_async import (
    ApiConnectionError,
    ApiException,
    ApiTimeoutError,
    AsyncHumanloop,
    ConnectTimeout,
    EventTooLarge,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidEvent,
    InvalidResponse,
    RateLimitError,
    ServerError,
    StatusError,
    StreamTruncated,
    Timeout,
    TotalTimeout,
)
from humanloop_async.client.core import OpeningStream
from humanloop_async.client.stream import CompletionStream
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, Step, http_chunk
from tests.events import COMMENT, DONE, UNTIL_CLOSE, completion, event, sse, words

DATA = Path(__file__).parent.parent / "data"


def complete(client: AsyncHumanloop, timeout: Timeout | float | None = None) -> OpeningStream[CompletionStream]:
    return client.complete_stream(project="p", model_config={"model": "m"}, timeout=timeout)


async def read_until_error(stream: CompletionStream) -> tuple[list[str], ApiException]:
    got: list[str] = []
    with pytest.raises(ApiException) as caught:
        async for chunk in stream:
            got.append(chunk.output)  # noqa: PERF401
    with pytest.raises(type(caught.value)) as again:
        await anext(stream)
    assert again.value is caught.value  # the error stays the same
    return got, caught.value


TWO = event(0, "a") + event(0, "b")
CUTS: dict[str, tuple[Step, ...]] = {
    "end of chunks": (STREAM_HEAD, http_chunk(TWO), LAST_CHUNK),
    "end of chunks, in the middle of an event": (STREAM_HEAD, http_chunk(TWO + event(0, "c")[:40]), LAST_CHUNK),
    "an event without its blank line": (STREAM_HEAD, http_chunk(TWO + event(0, "c", "stop")[:-1]), LAST_CHUNK),
    "[DONE]": (STREAM_HEAD, http_chunk(TWO), http_chunk(DONE), LAST_CHUNK),
    "[DONE] and silence": (STREAM_HEAD, http_chunk(TWO), http_chunk(DONE), Action.WAIT),
    "connection closed inside chunks": (STREAM_HEAD, http_chunk(TWO), 0.02, Action.CLOSE),
    "connection closed inside a chunk": (
        STREAM_HEAD,
        http_chunk(TWO),
        http_chunk(event(0, "c", "stop"))[:50],
        0.02,
        Action.CLOSE,
    ),
    "reset": (STREAM_HEAD, http_chunk(TWO), 0.05, Action.RESET),
    "half closed": (STREAM_HEAD, http_chunk(TWO), Action.HALF_CLOSE, Action.WAIT),
    "end of a body without length": (UNTIL_CLOSE, TWO, Action.CLOSE),
    "content-length too long": (
        STREAM_HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: 9999"),
        TWO,
        0.02,
        Action.CLOSE,
    ),
    "broken chunk": (STREAM_HEAD, http_chunk(TWO), 0.02, b"zzz\r\n", Action.WAIT),
}


@pytest.mark.parametrize("script", CUTS.values(), ids=CUTS)
async def test_a_cut_stream_raises_stream_truncated(
    client: AsyncHumanloop, server: ScriptedServer, script: tuple[Step, ...]
) -> None:
    """Complete events are delivered first, and the error has the partial response without a finish reason."""
    server.add_script(*script)
    async with complete(client, Timeout(idle=3)) as stream:
        got, error = await read_until_error(stream)
        assert got == ["a", "b"]
        assert type(error) is StreamTruncated
        assert error.retryable
        assert error.status == 200
        assert error.partial is not None
        [data] = error.partial.data
        assert (data.output, data.finish_reason) == ("ab", None)
        with pytest.raises(StreamTruncated):
            await stream.final()


async def test_a_cut_stream_ends_every_sample_with_an_error(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """A sample that has already ended is not affected."""
    server.add_stream(event(0, "a", "stop"), event(1, "b"), event(2, "c"))
    async with client.complete_stream(model_config={"model": "m"}, num_samples=3) as stream:
        first, second, third = stream.samples
        assert [chunk.output async for chunk in first] == ["a"]
        for sample, text in ((third, "c"), (second, "b")):
            assert (await anext(sample)).output == text
            with pytest.raises(StreamTruncated, match="sample 1, 2 of 3"):
                await anext(sample)


async def test_an_error_event_is_raised(client: AsyncHumanloop, server: ScriptedServer) -> None:
    detail = {"message": "slow down", "type": "rate_limit_error", "code": 429, "origin": "OpenAI"}
    server.add_stream(event(0, "a") + event(0, "b") + sse({"detail": detail}), end=(Action.WAIT,))
    async with complete(client) as stream:
        got, error = await read_until_error(stream)
    assert got == ["a", "b"]
    assert isinstance(error, RateLimitError)
    assert (error.status, error.type, error.origin) == (429, "rate_limit_error", "OpenAI")
    assert error.body == {"detail": detail}
    assert error.partial is not None
    assert error.partial.data[0].output == "ab"
    await asyncio.wait_for(server.client_left.wait(), 10)


async def test_an_error_event_without_a_code_is_raised(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(event(0, "a"), sse({"detail": "it broke"}))
    async with complete(client) as stream:
        got, error = await read_until_error(stream)
    assert (got, type(error), str(error)) == (["a"], ServerError, "500: it broke")


async def test_an_error_event_after_the_samples_is_raised(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(*words("a"), sse({"detail": {"message": "log not written", "code": 500}}))
    async with complete(client) as stream:
        got, error = await read_until_error(stream)
    assert (got, type(error)) == (["a"], ServerError)


async def test_a_recorded_stream_with_an_error_event(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream((DATA / "chat_error_midway.sse").read_bytes())
    async with client.chat_stream(model_config={"model": "m"}, messages=[], num_samples=3) as stream:
        with pytest.raises(StatusError) as caught:
            await stream.final()
    assert caught.value.partial is not None
    assert {data.finish_reason for data in caught.value.partial.data} == {None}


NONSENSE = {
    "not JSON": b"data: {oops\n\n",
    "not an object": b"data: 7\n\n",
    "no data": sse({"project_id": "pr_1"}),
    "no index": sse({"data": [{"id": "data_0", "output": "x"}]}),
    "index of text": sse({"data": [{"index": "0", "output": "x"}]}),
    "negative index": event(-1, "x"),
    "index too large": event(1, "x"),
    "huge index": event(10**18, "x"),
    "wrong type": sse({"data": [{"index": 0, "output": 7}]}),
    "bytes that are no UTF-8, outside of text": b"data: \xff\xfe\n\n",
    "nested": b"data: " + b"[" * 5000 + b"\n\n",
}


@pytest.mark.parametrize("bad", NONSENSE.values(), ids=NONSENSE)
async def test_an_event_that_is_not_v4_is_an_error(client: AsyncHumanloop, server: ScriptedServer, bad: bytes) -> None:
    server.add_stream(event(0, "a") + bad + event(0, "b", "stop"), end=(Action.WAIT,))
    async with complete(client) as stream:
        got, error = await read_until_error(stream)
    assert got == ["a"]
    assert type(error) is InvalidEvent
    assert error.data
    assert error.partial is not None
    await asyncio.wait_for(server.client_left.wait(), 10)


async def test_a_chunk_after_its_samples_end_is_an_error(client: AsyncHumanloop, server: ScriptedServer) -> None:
    for late in (b"".join(words("a", "b")) + event(0, "late"), b"".join(words("a")) + event(0, "again", "stop")):
        server.add_stream(late, end=(Action.WAIT,))
        async with complete(client) as stream:
            _, error = await read_until_error(stream)
            assert type(error) is InvalidEvent


async def test_an_event_over_the_size_limit_is_an_error(server: ScriptedServer) -> None:
    server.add_stream(event(0, "a") + event(0, "b"), event(0, "x" * 5000, "stop"), end=(Action.WAIT,))
    async with AsyncHumanloop(base_url=server.url, max_event_bytes=2000) as client, complete(client) as stream:
        got, error = await read_until_error(stream)
    assert got == ["a", "b"]
    assert isinstance(error, EventTooLarge)
    assert (error.limit, error.partial is not None) == (2000, True)
    await asyncio.wait_for(server.client_left.wait(), 10)


async def test_an_event_of_megabytes_within_the_limit_is_read(client: AsyncHumanloop, server: ScriptedServer) -> None:
    text = "x" * (4 << 20)
    server.add_stream(event(0, text), event(0, "", "stop"))
    async with complete(client) as stream:
        assert (await anext(stream)).output == text
        assert (await stream.final()).data[0].output == text


async def test_a_complete_stream_ends_although_the_server_never_closes(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    """The stream ends after a short wait, and closes the connection, because it cannot be used again."""
    server.add_stream(*words("a"), end=(Action.WAIT,))
    started = time.monotonic()
    async with complete(client) as stream:
        assert [chunk.output async for chunk in stream] == ["a"]
        assert 0.3 < time.monotonic() - started < 8
        await asyncio.wait_for(server.client_left.wait(), 10)


async def test_a_complete_stream_stays_complete_when_its_connection_breaks(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_stream(*words("a"), end=(0.02, Action.RESET))
    async with complete(client) as stream:
        assert (await stream.final()).data[0].finish_reason == "stop"


async def test_json_instead_of_a_stream_is_an_invalid_response(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with complete(client) as stream:
        with pytest.raises(InvalidResponse) as caught:
            await anext(stream)
    assert "application/json" in str(caught.value)
    assert isinstance(caught.value.body, str)
    assert caught.value.body.startswith('{"project_id"')
    assert (caught.value.status, len(server.requests)) == (200, 1)


async def test_html_instead_of_a_stream_is_an_invalid_response(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response(b"<html>Log in</html>", headers={"Content-Type": "text/html"})
    async with complete(client) as stream:
        with pytest.raises(InvalidResponse, match="text/html") as caught:
            await stream.final()
    assert caught.value.body == "<html>Log in</html>"


# -- clocks --------------------------------------------------------------------------------------------------------


async def timed(stream: CompletionStream) -> tuple[float, ApiException]:
    started = time.monotonic()
    _, error = await read_until_error(stream)
    return time.monotonic() - started, error


async def test_the_timeout_until_the_headers(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(Action.WAIT)
    started = time.monotonic()
    with pytest.raises(ConnectTimeout) as caught:
        await complete(client, Timeout(connect=0.2))
    assert 0.18 < time.monotonic() - started < 5
    assert isinstance(caught.value, TimeoutError)
    assert "connect=0.2" in str(caught.value)
    await asyncio.wait_for(server.client_left.wait(), 10)


async def test_the_timeout_until_the_first_chunk(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, Action.WAIT)
    sent = time.monotonic()
    async with complete(client, Timeout(first_token=0.2, idle=9)) as stream:
        _, error = await timed(stream)
    assert type(error) is FirstTokenTimeout
    assert 0.18 < time.monotonic() - sent < 5
    await asyncio.wait_for(server.client_left.wait(), 10)


@pytest.mark.parametrize("timeout", [Timeout(idle=0.2, first_token=9), 0.2], ids=["Timeout", "number"])
async def test_the_timeout_between_chunks(
    client: AsyncHumanloop, server: ScriptedServer, timeout: Timeout | float
) -> None:
    server.add_stream(event(0, "a"), end=(Action.WAIT,))
    async with complete(client, timeout) as stream:
        await anext(stream)
        took, error = await timed(stream)
        assert error.partial is not None
        await asyncio.wait_for(server.client_left.wait(), 10)  # also while the block continues
    assert type(error) is IdleTimeout
    assert 0.18 < took < 5


@pytest.mark.parametrize(("first", "kind"), [([], FirstTokenTimeout), ([http_chunk(event(0, "a"))], IdleTimeout)])
async def test_comments_do_not_reset_the_timeouts(
    client: AsyncHumanloop, server: ScriptedServer, first: list[bytes], kind: type[ApiTimeoutError]
) -> None:
    comments: list[Step] = [http_chunk(COMMENT), 0.05] * 60
    server.add_script(STREAM_HEAD, *first, *comments, LAST_CHUNK)
    async with complete(client, Timeout(first_token=0.3, idle=0.3)) as stream:
        took, error = await timed(stream)
    assert type(error) is kind
    assert (0.28 if first else 0) < took < 2.5


async def test_chunks_reset_the_idle_timeout(client: AsyncHumanloop, server: ScriptedServer) -> None:
    steps: list[Step] = [http_chunk(event(0, "a")), 0.1] * 6
    server.add_script(STREAM_HEAD, *steps, *map(http_chunk, words("b")), LAST_CHUNK)
    async with complete(client, Timeout(idle=0.4)) as stream:
        assert (await stream.final()).data[0].output == "aaaaaab"


async def test_the_total_timeout(client: AsyncHumanloop, server: ScriptedServer) -> None:
    steps: list[Step] = [http_chunk(event(0, "a")), 0.05] * 60
    server.add_script(STREAM_HEAD, *steps, LAST_CHUNK)
    begun = time.monotonic()
    async with complete(client, Timeout(total=0.4)) as stream:
        _, error = await timed(stream)
    assert type(error) is TotalTimeout
    assert "total=0.4" in str(error)
    assert 0.38 < time.monotonic() - begun < 2.5


async def test_the_total_timeout_before_the_headers(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(Action.WAIT)
    with pytest.raises(TotalTimeout):
        await complete(client, Timeout(total=0.15, connect=None))


@pytest.mark.parametrize("clocks", [Timeout(total=0.011), Timeout(total=0.011, first_token=None, idle=None)])
async def test_the_error_names_the_timeout_that_was_set(
    client: AsyncHumanloop, server: ScriptedServer, clocks: Timeout
) -> None:
    """A timer may fire early, or two at once. The error is still that of the limit that was set."""
    server.add_stream(event(0, "a"), end=(0.05, LAST_CHUNK))
    for _ in range(40):
        with pytest.raises(TotalTimeout):
            async with complete(client, clocks) as stream:
                await stream.final()


async def test_the_error_of_a_plain_call_names_the_timeout_that_was_set(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_script(Action.WAIT)
    for _ in range(40):
        with pytest.raises(TotalTimeout):
            await client.complete(model_config={"model": "m"}, timeout=0.011)


async def test_the_clock_until_the_first_chunk_counts_from_sending(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_script(0.3, STREAM_HEAD, Action.WAIT)
    sent = time.monotonic()
    async with complete(client, Timeout(first_token=0.6)) as stream:
        _, error = await timed(stream)
    assert type(error) is FirstTokenTimeout
    assert 0.58 < time.monotonic() - sent < 0.88


async def test_the_clock_until_the_first_chunk_limits_the_wait_for_headers(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_script(Action.WAIT)
    with pytest.raises(FirstTokenTimeout, match=r"no response headers .* within first_token=0.2 s"):
        await complete(client, Timeout(first_token=0.2))


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ((), ConnectTimeout),
        ((STREAM_HEAD,), FirstTokenTimeout),
        ((STREAM_HEAD, http_chunk(event(0, "a"))), IdleTimeout),
    ],
    ids=["headers", "first chunk", "next chunk"],
)
async def test_a_number_limits_every_silence(
    client: AsyncHumanloop, server: ScriptedServer, script: tuple[Step, ...], kind: type[ApiTimeoutError]
) -> None:
    server.add_script(*script, Action.WAIT)
    with pytest.raises(kind):
        async with complete(client, 0.3) as stream:
            await stream.final()


async def test_the_body_of_an_error_takes_no_longer_than_the_headers_may(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_script(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nhalf", Action.WAIT)
    sent = time.monotonic()
    with pytest.raises(StatusError):
        await complete(client, Timeout(connect=0.3))
    assert time.monotonic() - sent < 2


async def test_reads_cancelled_at_once_cannot_postpone_a_clock(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_stream(event(0, "a"), end=(Action.WAIT,))
    async with complete(client, Timeout(idle=0.2)) as stream:
        await anext(stream)
        begun = time.monotonic()
        with pytest.raises(IdleTimeout):
            while time.monotonic() < begun + 5:
                try:
                    async with asyncio.timeout(0):
                        await anext(stream)
                except IdleTimeout:
                    raise
                except TimeoutError:
                    await asyncio.sleep(0)


async def test_reads_cancelled_at_once_see_the_end(client: AsyncHumanloop, server: ScriptedServer) -> None:
    """The body has no end, for which the client waits for half a second."""
    server.add_stream(event(0, "a", "stop"), end=(Action.WAIT,))
    async with complete(client) as stream:
        await anext(stream)
        begun = time.monotonic()
        ended = False
        while not ended and time.monotonic() < begun + 5:
            try:
                async with asyncio.timeout(0):
                    ended = await anext(stream, None) is None
            except TimeoutError:
                await asyncio.sleep(0)
        assert ended


async def test_a_slow_consumer_causes_no_idle_timeout(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(
        STREAM_HEAD,
        http_chunk(event(0, "a")),
        0.05,
        http_chunk(event(0, "b")),
        0.3,
        http_chunk(event(0, "c", "stop")),
        LAST_CHUNK,
    )
    async with complete(client, Timeout(idle=0.25, first_token=0.25)) as stream:
        got = []
        async for piece in stream:
            got.append(piece.output)
            await asyncio.sleep(0.28)
    assert got == ["a", "b", "c"]


async def test_a_slow_consumer_does_not_extend_the_total_timeout(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    steps: list[bytes | float] = [http_chunk(event(0, "a")), 0.04]
    server.add_script(STREAM_HEAD, *steps * 30, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    with pytest.raises(TotalTimeout):
        async with complete(client, Timeout(total=0.3)) as stream:
            async for _ in stream:
                await asyncio.sleep(0.05)


async def test_a_slow_consumer_that_polls_causes_no_idle_timeout(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    """The chunk arrived in time, after its reader had been cancelled."""
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), 0.1, http_chunk(event(0, "b", "stop")), LAST_CHUNK)
    async with complete(client, Timeout(idle=0.25)) as stream:
        source = aiter(stream)
        await anext(source)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(source), 0.02)
        await asyncio.sleep(0.5)
        assert (await anext(source)).output == "b"


async def test_polling_does_not_postpone_the_idle_timeout(client: AsyncHumanloop, server: ScriptedServer) -> None:
    comments: list[Step] = [http_chunk(COMMENT), 0.05] * 60
    server.add_script(STREAM_HEAD, http_chunk(event(0, "a")), *comments, LAST_CHUNK)
    async with complete(client, Timeout(idle=0.3)) as stream:
        source = aiter(stream)
        await anext(source)
        started = time.monotonic()
        with pytest.raises(IdleTimeout):
            while time.monotonic() - started < 3:
                try:
                    await asyncio.wait_for(anext(source), 0.03)
                except IdleTimeout:
                    raise
                except TimeoutError:
                    continue
        assert time.monotonic() - started < 2.5


async def test_an_error_has_the_status_and_headers_of_the_response(
    client: AsyncHumanloop, server: ScriptedServer
) -> None:
    server.add_stream(event(0, "a"), end=(Action.CLOSE,))
    async with complete(client) as stream:
        _, error = await read_until_error(stream)
    assert (error.status, error.reason) == (200, "OK")
    assert error.headers["content-type"] == "text/event-stream"
    assert error.round_trip_time is not None
    assert error.round_trip_time > 0
    assert isinstance(error.__cause__, ApiConnectionError)
