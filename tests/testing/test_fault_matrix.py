"""A random plan of faults does the same to every client: both transports, sync and async, wherever it is applied."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from humanloop_async import (
    ApiException,
    AsyncHumanloop,
    ConnectTimeout,
    EmbeddedServer,
    FirstTokenTimeout,
    HttpxTransport,
    Humanloop,
    IdleTimeout,
    InvalidEvent,
    RateLimitError,
    ServerError,
    StreamTruncated,
    Timeout,
    Transport,
)
from humanloop_async.testing import (
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
    save_recording,
)
from humanloop_async.testing.fixtures import UnpooledTransport
from tests.events import words

CALL: dict[str, Any] = {"model_config": {"provider": "mock", "model": "m", "prompt_template": "p", "max_tokens": 6}}
BODY = b'{"model_config":{"provider":"mock","model":"m","prompt_template":"p","max_tokens":6},"stream":true}'
EVENTS = words("a", "b", "c", "d", "e", "f")

Outcome = tuple[type[ApiException] | None, int]
"""The class of the error that a stream raised, and the number of its chunks before."""

OUTCOMES: dict[Fault | None, Outcome] = {
    None: (None, 6),
    Cut(2): (StreamTruncated, 2),
    Cut(after_bytes=20): (StreamTruncated, 0),
    Reset(3): (StreamTruncated, 3),
    CleanEnd(1): (StreamTruncated, 1),
    Stall(headers=True): (ConnectTimeout, 0),
    Stall(): (FirstTokenTimeout, 0),
    Stall(3): (IdleTimeout, 3),
    CommentsOnly(1, interval=0.05): (IdleTimeout, 1),
    ErrorEvent(2, status=429): (RateLimitError, 2),
    ErrorStatus(503): (ServerError, 0),
    InvalidJson(4): (InvalidEvent, 4),
    WrongIndex(5): (InvalidEvent, 5),
    Slow(0.001): (None, 6),
}
SEED = 470
SILENT = (Stall, CommentsOnly)


def random_plan() -> Faults:
    return Faults.random([fault for fault in OUTCOMES if fault is not None], rate=0.9, seed=SEED)


CALLS = [plan.take() for plan in [random_plan()] for _ in range(36)]
"""What the plan does. It has every fault at least once."""


def timeout_of(fault: Fault | None) -> Timeout:
    """Return a short one only where it must expire, because a busy machine is slow."""
    seconds = 0.3 if isinstance(fault, SILENT) else 30.0
    return Timeout(connect=seconds, first_token=seconds, idle=seconds)


async def read_all(url: str, transport: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    async with AsyncHumanloop("hl_key", base_url=url, transport=transport, max_retries=0) as client:
        for fault in CALLS:
            chunks = 0
            try:
                async with client.complete_stream(**CALL, timeout=timeout_of(fault)) as stream:
                    async for _ in stream:
                        chunks += 1
            except ApiException as exc:
                outcomes.append((type(exc), chunks))
            else:
                outcomes.append((None, chunks))
    return outcomes


def read_all_sync(url: str, transport: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with Humanloop("hl_key", base_url=url, transport=transport, max_retries=0) as client:
        for fault in CALLS:
            chunks = 0
            try:
                with client.complete_stream(**CALL, timeout=timeout_of(fault)) as stream:
                    for _ in stream:
                        chunks += 1
            except ApiException as exc:
                outcomes.append((type(exc), chunks))
            else:
                outcomes.append((None, chunks))
    return outcomes


def unpooled(library: str) -> Transport:
    """Return a transport without idle connections, which nobody could close after the loop of a sync client ended."""
    if library == "aiohttp":
        return UnpooledTransport()
    return HttpxTransport(httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False))


@contextmanager
def in_thread(transport: Transport, upstream: str) -> Generator[str]:
    server = TransportServer(transport, upstream=upstream)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield server.url


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(EmbeddedServer(api_key="hl_key")) as server,
    ):
        yield server.base_url.removesuffix("/v4")


@pytest.fixture(params=["replay", "mock", "server"])
def source(
    request: pytest.FixtureRequest, tmp_path: Path, threaded_server: ScriptedServer, mock_url: str
) -> tuple[str, Path | None]:
    """The origin of six events: a server, or one that a recording replaces."""
    if request.param == "mock":
        return mock_url, None
    threaded_server.add_stream(*EVENTS)
    if request.param == "server":
        return threaded_server.url, None
    path = tmp_path / "stream.jsonl"
    call = RecordedCall(
        method="POST",
        url="http://h/v4/completion",
        body=BODY,
        status=200,
        response_headers={"Content-Type": "text/event-stream"},
        reads=[RecordedRead(0, event) for event in EVENTS],
    )
    save_recording(path, [call])
    return threaded_server.url, path


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("library", ["aiohttp", "httpx"])
@pytest.mark.parametrize("is_remote", [False, True], ids=["in the client", "in a server"])
def test_the_same_calls_fail_in_the_same_way(
    source: tuple[str, Path | None], library: str, is_async: bool, is_remote: bool
) -> None:
    """The plan follows from its seed, and what a client notices from the fault alone."""
    assert set(CALLS) == set(OUTCOMES)
    url, recording = source
    inner = unpooled(library) if recording is None else ReplayTransport(recording, math.inf, repeat=True)
    faults = random_plan()
    broken = FaultTransport(inner, faults)

    def read(url: str, transport: Transport | str) -> list[Outcome]:
        return asyncio.run(read_all(f"{url}/v4", transport)) if is_async else read_all_sync(f"{url}/v4", transport)

    if is_remote:
        with in_thread(broken, url) as proxy:
            outcomes = read(proxy, library)
    else:
        outcomes = read(url, broken)
        asyncio.run(broken.aclose())
    assert faults.taken == CALLS
    assert list(zip(CALLS, outcomes, strict=True)) == [(fault, OUTCOMES[fault]) for fault in CALLS]
