"""Every fault is what the client must notice, in the process and over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async import (
    AiohttpTransport,
    ApiException,
    AsyncHumanloop,
    CompletionResponse,
    ConnectTimeout,
    EmbeddedServer,
    EventStreamDecoder,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidArgument,
    InvalidEvent,
    RateLimitError,
    ServerError,
    StreamTruncated,
    Timeout,
    Transport,
)
from humanloop_async.testing import (
    LAST_CHUNK,
    Action,
    CleanEnd,
    CommentsOnly,
    Cut,
    ErrorEvent,
    ErrorStatus,
    Fault,
    Faults,
    FaultTransport,
    InvalidJson,
    RecordedCall,
    RecordedRead,
    ReplayTransport,
    Reset,
    ScriptedServer,
    Slow,
    Stall,
    TransportServer,
    WrongIndex,
    parse_fault,
    save_recording,
)
from humanloop_async.testing.faults import COMMENT, Ending, Injector, Repeat, Step
from humanloop_async.wire.requests import HttpRequest
from tests.events import completion, event, words

CALL: dict[str, Any] = {"model_config": {"provider": "mock", "model": "m", "prompt_template": "p", "max_tokens": 6}}
EVENTS = words("a", "b", "c", "d")

Connect = Callable[[Faults], AbstractAsyncContextManager[AsyncHumanloop]]


@pytest.fixture(params=["transport", "socket", "replay", "mock"])
async def connect(request: pytest.FixtureRequest, tmp_path: Path, server: ScriptedServer, mock_url: str) -> Connect:
    """A function that connects a client to a stream of four events, or of the mock provider, and breaks it."""
    server.add_stream(*EVENTS)

    @asynccontextmanager
    async def connected(faults: Faults) -> AsyncIterator[AsyncHumanloop]:
        url = server.url if request.param != "mock" else mock_url
        inner: Transport = AiohttpTransport()
        if request.param == "replay":
            path = tmp_path / "stream.jsonl"
            save_recording(path, [recorded(*EVENTS)])
            inner = ReplayTransport(path, math.inf, repeat=True)
        transport = FaultTransport(inner, faults)
        if request.param in ("socket", "mock"):
            async with TransportServer(transport, upstream=url) as proxy, client_of(f"{proxy.url}/v4") as client:
                yield client
        else:
            async with client_of(f"{url}/v4", transport=transport) as client:
                yield client
            await transport.aclose()

    return connected


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    """The origin of an embedded server, in another thread for all tests."""
    embedded = EmbeddedServer(api_key="hl_key")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedded) as server:
        yield server.base_url.removesuffix("/v4")


def client_of(url: str, **settings: Any) -> AsyncHumanloop:
    return AsyncHumanloop("hl_key", base_url=url, max_retries=0, **settings)


def recorded(*reads: bytes) -> RecordedCall:
    body = b'{"model_config":{"provider":"mock","model":"m","prompt_template":"p","max_tokens":6},"stream":true}'
    return RecordedCall(
        method="POST",
        url="http://h/v4/completion",
        body=body,
        status=200,
        response_headers={"Content-Type": "text/event-stream"},
        reads=[RecordedRead(0, data) for data in reads],
    )


async def stream(client: AsyncHumanloop, **options: Any) -> int:
    """Read a stream to its end, and return the number of its chunks."""
    chunks = 0
    async with client.complete_stream(**CALL, **options) as opened:
        async for _ in opened:
            chunks += 1
    return chunks


FAST = Timeout(connect=0.4, first_token=0.4, idle=0.4)

BROKEN: dict[str, tuple[Fault, type[ApiException], int]] = {
    "cut": (Cut(2), StreamTruncated, 2),
    "cut at once": (Cut(), StreamTruncated, 0),
    "cut inside an event": (Cut(after_bytes=20), StreamTruncated, 0),
    "reset": (Reset(2), StreamTruncated, 2),
    "clean end": (CleanEnd(2), StreamTruncated, 2),
    "stall without headers": (Stall(headers=True), ConnectTimeout, 0),
    "stall before the first token": (Stall(), FirstTokenTimeout, 0),
    "stall between tokens": (Stall(3), IdleTimeout, 3),
    "only comments": (CommentsOnly(interval=0.05), FirstTokenTimeout, 0),
    "only comments after a token": (CommentsOnly(1, interval=0.05), IdleTimeout, 1),
    "error event": (ErrorEvent(2, status=429), RateLimitError, 2),
    "error event at once": (ErrorEvent(), ServerError, 0),
    "status": (ErrorStatus(), ServerError, 0),
    "invalid JSON": (InvalidJson(1), InvalidEvent, 1),
    "wrong index": (WrongIndex(2), InvalidEvent, 2),
}


@pytest.mark.parametrize(("fault", "error", "arrived"), BROKEN.values(), ids=BROKEN)
async def test_a_fault_is_an_error_of_the_client(
    connect: Connect, fault: Fault, error: type[ApiException], arrived: int
) -> None:
    """The error has the events before it. The next call is not broken."""
    async with connect(Faults(fault)) as client:
        with pytest.raises(error) as caught:
            await stream(client, timeout=FAST)
        assert type(caught.value) is error
        partial = caught.value.partial
        chunks = 0 if partial is None or not partial.data else len(partial.data[0].output.split() or "")
        if arrived == 0:
            assert chunks == 0
        else:
            assert partial is not None
            assert partial.data[0].output
            assert partial.data[0].finish_reason is None
        assert await stream(client) >= 4


MILD: dict[str, Fault] = {
    "slow": Slow(0.02),
    "stall with an end": Stall(2, seconds=0.1),
    "stall of the headers": Stall(headers=True, seconds=0.1),
    "comments with an end": CommentsOnly(1, interval=0.03, seconds=0.1),
    "cut behind the end": Cut(1000),
}


@pytest.mark.parametrize("fault", MILD.values(), ids=MILD)
async def test_a_delay_loses_nothing(connect: Connect, fault: Fault) -> None:
    async with connect(Faults(fault)) as client:
        started = time.monotonic()
        broken = await stream(client)
        took = time.monotonic() - started
        assert broken == await stream(client)
    assert took > (0 if isinstance(fault, Cut) else 0.07)


async def test_a_reset_is_a_reset_on_the_socket(server: ScriptedServer) -> None:
    """A client in another language sees the system's error, and has the events before it."""
    server.add_stream(*EVENTS)
    for fault, expected in ((Reset(2), "reset"), (Cut(2), "end")):
        transport = FaultTransport(AiohttpTransport(), fault)
        async with TransportServer(transport, upstream=server.url) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
            writer.write(b"POST /v4/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
            received = b""
            try:
                while data := await reader.read(65536):
                    received += data
                ending = "end"
            except ConnectionResetError:
                ending = "reset"
            writer.close()
        assert ending == expected
        assert EVENTS[1] in received
        assert EVENTS[2] not in received
        assert not received.endswith(LAST_CHUNK)


async def test_retry_after_is_sent(connect: Connect) -> None:
    async with connect(Faults(ErrorStatus(429, retry_after=3), ErrorStatus(503, retry_after="soon"))) as client:
        with pytest.raises(RateLimitError, match="injected") as caught:
            await stream(client)
        assert caught.value.retry_after == 3
        with pytest.raises(ServerError) as caught_again:
            await stream(client)
        assert caught_again.value.headers["Retry-After"] == "soon"


async def test_a_client_retries_what_the_plan_breaks(server: ScriptedServer) -> None:
    server.add_stream(*EVENTS)
    faults = Faults(ErrorStatus(503, retry_after=0), Cut(0))
    transport = FaultTransport(AiohttpTransport(), faults)
    async with AsyncHumanloop(base_url=f"{server.url}/v4", transport=transport, max_retries=2) as client:
        assert await stream(client) == 4
    await transport.aclose()
    assert faults.taken == [ErrorStatus(503, retry_after=0), Cut(0), None]
    assert len(server.requests) == 2  # an error status is not sent


async def test_responses_that_are_no_streams(server: ScriptedServer) -> None:
    """The body counts as one event; faults of events have no effect."""
    server.add_response(completion("whole"))

    async def output(fault: Fault) -> str:
        transport = FaultTransport(AiohttpTransport(), fault)
        async with aclosing(transport), client_of(f"{server.url}/v4", transport=transport) as client:
            response: CompletionResponse = await client.complete(**CALL, timeout=0.5)
            return response.data[0].output

    harmless: Sequence[Fault] = (
        InvalidJson(),
        WrongIndex(),
        ErrorEvent(),
        CommentsOnly(),
        Slow(0.01),
        Cut(after_bytes=10_000),
    )
    for fault in harmless:
        assert await output(fault) == "whole"
    harmful: Sequence[Fault] = (
        Cut(),
        Cut(1),
        Cut(after_bytes=5),
        CleanEnd(after_bytes=5),
        Reset(1),
        Stall(),
        Stall(1),
        ErrorStatus(),
    )
    for fault in harmful:
        with pytest.raises(ApiException):
            await output(fault)


async def test_leaving_a_stalled_stream_closes_the_real_connection(server: ScriptedServer) -> None:
    server.add_stream(EVENTS[0], end=(Action.WAIT,))
    transport = FaultTransport(AiohttpTransport(), Stall(1))
    async with TransportServer(transport, upstream=server.url) as proxy, client_of(f"{proxy.url}/v4") as client:
        async with client.complete_stream(**CALL) as opened:
            async for _ in opened:
                break
        await asyncio.wait_for(server.client_left.wait(), 10)


async def test_closing_ends_a_read_that_stalls(server: ScriptedServer) -> None:
    server.add_stream(*EVENTS)
    transport = FaultTransport(AiohttpTransport(), Stall())
    response = await transport.send(HttpRequest("POST", server.url, {}, b"{}"), 5)
    reading = asyncio.create_task(response.read(None))
    await asyncio.sleep(0.02)
    response.close()
    with pytest.raises(ApiException, match="closed"):
        await asyncio.wait_for(reading, 10)
    await transport.aclose()


async def test_a_cancelled_read_loses_no_bytes(server: ScriptedServer) -> None:
    server.add_stream(*EVENTS)
    transport = FaultTransport(AiohttpTransport(), Slow(0.1))
    response = await transport.send(HttpRequest("POST", server.url, {}, b"{}"), 5)
    received = b""
    while True:
        try:
            data = await asyncio.wait_for(response.read(None), 0.03)
        except TimeoutError:
            continue
        if not data:
            break
        received += data
    assert received == b"".join(EVENTS)
    await transport.aclose()


def test_faults_run_under_trio(tmp_path: Path) -> None:
    save_recording(tmp_path / "a.jsonl", [recorded(*EVENTS)])

    async def main() -> None:
        transport = FaultTransport(ReplayTransport(tmp_path / "a.jsonl"), Stall(1))
        async with client_of("http://h/v4", transport=transport) as client:
            with pytest.raises(IdleTimeout):
                await stream(client, timeout=0.1)

    anyio.run(main, backend="trio")


# Plans


def test_a_plan_breaks_calls_in_order() -> None:
    faults = Faults(Cut(), None)
    faults.add(Reset())
    assert [faults.take() for _ in range(5)] == [Cut(), None, Reset(), None, None]
    assert faults.taken == [Cut(), None, Reset(), None, None]


def test_a_plan_can_break_every_call() -> None:
    faults = Faults.always(Cut(1))
    faults.add(None)
    assert [faults.take() for _ in range(3)] == [None, Cut(1), Cut(1)]


def test_a_random_plan_depends_on_its_seed_only() -> None:
    kinds = [Cut(number) for number in range(20)]

    def draw(seed: int, rate: float = 0.3) -> list[Fault | None]:
        plan = Faults.random(kinds, rate=rate, seed=seed)
        return [plan.take() for _ in range(200)]

    assert draw(7) == draw(7) != draw(8)
    assert 30 < sum(fault is not None for fault in draw(7)) < 90
    assert draw(7, 0.0) == [None] * 200
    assert None not in draw(7, 1.0)
    # A higher rate breaks more calls, and the same ones in the same way.
    assert all(one is None or one == other for one, other in zip(draw(7, 0.3), draw(7, 0.6), strict=True))


@pytest.mark.parametrize(
    ("create", "problem"),
    [
        (lambda: Faults(Cut(-1)), "after_events"),
        (lambda: Faults.always(ErrorStatus(200)), "status"),
        (lambda: Faults().add(Slow(-0.1)), "seconds"),
        (lambda: Faults("cut"), "'cut'"),  # type: ignore[arg-type]
        (lambda: Faults.random([], rate=1, seed=0), "empty"),
        (lambda: Faults.random([Cut()], rate=2, seed=0), "rate=2"),
    ],
)
def test_a_wrong_plan_is_rejected(create: Callable[[], object], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        create()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cut", Cut()),
        ("cut:after_events=3", Cut(3)),
        ("reset:after_bytes=10", Reset(after_bytes=10)),
        ("stall:seconds=1.5,after_events=2", Stall(2, 1.5)),
        ("stall:headers=true", Stall(headers=True)),
        ("comments-only:interval=0.5", CommentsOnly(interval=0.5)),
        ("error-status:status=429,retry_after=2", ErrorStatus(429, "2")),
        ("error-event:message=no luck", ErrorEvent(message="no luck")),
    ],
)
def test_a_fault_can_be_written_as_text(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text", ["", "explode", "cut:3", "cut:after_events=x", "error-status:status=200", "slow:fast=1"]
)
def test_wrong_texts_are_rejected(text: str) -> None:
    with pytest.raises(InvalidArgument, match="the fault"):
        parse_fault(text)


# The bytes


def injected(fault: Fault, reads: list[bytes]) -> list[Step]:
    """Return the steps of an event stream up to its end."""
    injector = Injector(fault, is_stream=True)
    steps = injector.begin()
    for data in reads:
        steps += injector.feed(data)
    steps += injector.end()
    endings = [number for number, step in enumerate(steps) if isinstance(step, Ending | Repeat)]
    return steps[: endings[0] + 1]


def joined(steps: list[Step]) -> list[Step]:
    """Return steps with neighbouring bytes as one."""
    groups = itertools.groupby(steps, lambda step: isinstance(step, bytes))
    return [one for is_bytes, group in groups for one in ([b"".join(group)] if is_bytes else group)]  # type: ignore[arg-type]


LINES = [b"data: 1\n\n", b": note\n\n", b"data: 2\r\n\r\n", b"event: x\ndata:3\n\n", b"data: 4\r\r", b"data: 5\n\n"]
STREAM_BYTES = b"".join(LINES)


@given(st.sets(st.integers(1, len(STREAM_BYTES) - 1)))
def test_reads_may_be_split_anywhere(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM_BYTES)]
    reads = [STREAM_BYTES[first:last] for first, last in itertools.pairwise(places)]
    assert joined(injected(Cut(0), reads)) == [Ending.CUT]
    assert joined(injected(Cut(1), reads)) == [LINES[0], Ending.CUT]
    for count, end in ((2, 3), (3, 4), (4, 5)):
        [data, ending] = joined(injected(Cut(count), reads))
        assert b"".join(LINES[:end]).rstrip(b"\r\n") == bytes(data).rstrip(b"\r\n")  # type: ignore[arg-type]
        assert ending is Ending.CUT
    assert joined(injected(Cut(99), reads)) == [STREAM_BYTES, Ending.CLEAN]
    assert joined(injected(Cut(after_bytes=7), reads)) == [STREAM_BYTES[:7], Ending.CUT]
    assert joined(injected(CommentsOnly(1), reads)) == [LINES[0], Repeat(COMMENT, 0.1, None)]
    [data, _] = joined(injected(InvalidJson(1), reads))
    assert EventStreamDecoder().feed(bytes(data)) == [b"1", b"", b"3", b"4", b"5"]  # type: ignore[arg-type]
    slow = injected(Slow(0.5), reads)
    assert b"".join(step for step in slow if isinstance(step, bytes)) == STREAM_BYTES
    assert slow.count(0.5) == 5


def test_a_wrong_index_changes_one_event_of_either_api() -> None:
    ours, theirs = event(0, "a"), b'data: {"choices":[{"index":0,"delta":{}}]}\n\n'
    steps = injected(WrongIndex(1, index=7), [ours + theirs + ours])
    assert steps == [ours, b'data: {"choices":[{"index":7,"delta":{}}]}\n\n', ours, Ending.CLEAN]
    assert b'"index":7' in injected(WrongIndex(0, index=7), [ours])[0]  # type: ignore[operator]
    assert injected(WrongIndex(0), [b"data: [DONE]\n\n"])[0] == b"data: [DONE]\n\n"
