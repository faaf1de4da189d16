"""Recordings served over HTTP, and ``python -m humanloop_async.testing``."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from humanloop_async import (
    AiohttpTransport,
    AsyncHumanloop,
    HttpRequest,
    Humanloop,
    InvalidArgument,
    InvalidEvent,
    NotFoundError,
    ResponseStream,
)
from humanloop_async.testing import (
    RecordedCall,
    RecordedRead,
    RecordingTransport,
    ReplayTransport,
    ScriptedServer,
    TestServer,
    TransportServer,
    load_recording,
    save_recording,
)
from humanloop_async.testing.__main__ import main
from tests.events import words

CALL: dict[str, Any] = {"model_config": {"provider": "mock", "model": "m", "prompt_template": "p"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def call(*reads: bytes, **changes: Any) -> RecordedCall:
    settings: dict[str, Any] = {"status": 200, "reads": [RecordedRead(0, data) for data in reads], **changes}
    return RecordedCall(method="POST", url="http://h/v4/chat", body=b'{"a":1}', **settings)


async def reads_of(response: ResponseStream) -> AsyncIterator[bytes]:
    while data := await response.read(10):
        yield data


@asynccontextmanager
async def posted(path: Path, body: bytes = b'{"a":1}') -> AsyncIterator[aiohttp.ClientResponse]:
    """Serve a recording, and send one request to it."""
    async with (
        TransportServer(ReplayTransport(path)) as server,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.post(f"{server.url}/v4/chat", data=body) as response,
    ):
        yield response


async def test_a_recording_of_the_embedded_server_is_served_byte_for_byte(
    path: Path, humanloop_server: TestServer
) -> None:
    """Each recorded read is one chunk of the response, whatever the client."""
    recorder = RecordingTransport(AiohttpTransport(), path)
    async with AsyncHumanloop(
        humanloop_server.api_key, base_url=humanloop_server.base_url, transport=recorder
    ) as client:
        async with client.complete_stream(**CALL) as stream:
            recorded = (await stream.final()).body
        plain = (await client.complete(**CALL)).body
    await recorder.aclose()
    streamed, _ = load_recording(path)

    async with TransportServer(ReplayTransport(path, math.inf, repeat=True)) as server:
        async with AsyncHumanloop(base_url=f"{server.url}/v4") as client:
            async with client.complete_stream(**CALL) as stream:
                assert (await stream.final()).body == recorded
            assert (await client.complete(**CALL)).body == plain
        request = HttpRequest("POST", f"{server.url}/v4/completion", {}, streamed.body)
        async with aclosing(AiohttpTransport()) as transport:
            response = await transport.send(request, 10)
            assert response.headers["Content-Type"] == "text/event-stream"
            reads = [data async for data in reads_of(response)]
    assert b"".join(reads) == streamed.content


async def test_headers_statuses_and_odd_bodies_are_served(path: Path) -> None:
    """Headers of the recorded connection are not: the body is decompressed and has another length."""
    headers = {"X-Request-Id": "r", "Content-Encoding": "gzip", "Content-Length": "3", "Content-Type": "text/odd"}
    save_recording(path, [call(b"\xff\x00", b"z", status=418, reason="Teapot", response_headers=headers)])
    async with posted(path) as response:
        assert (response.status, response.reason) == (418, "Teapot")
        assert response.headers["X-Request-Id"] == "r"
        assert response.headers["Content-Type"] == "text/odd"
        assert await response.read() == b"\xff\x00z"


async def test_a_response_without_a_body_is_served(path: Path) -> None:
    save_recording(path, [call(status=204, reason="No Content")])
    async with posted(path) as response:
        assert response.status == 204
        assert await response.read() == b""


async def test_the_headers_do_not_wait_for_the_first_token(path: Path) -> None:
    save_recording(path, [call(ended_at=60.0)])
    async with posted(path) as response:
        assert response.status == 200


async def test_an_unmatched_request_gets_404_with_the_difference(path: Path) -> None:
    save_recording(path, [call(b"x")])
    async with posted(path, b'{"a":2}') as response:
        assert response.status == 404
        detail = (await response.json())["detail"]
    assert detail["type"] == "not_found"
    assert '-  "a": 1\n+  "a": 2' in detail["message"]


@pytest.mark.parametrize("cause", ["cut", "reset"])
async def test_a_recorded_break_breaks_the_connection(path: Path, cause: Any) -> None:
    save_recording(path, [call(b"data: x\n\n", cause=cause)])
    async with posted(path) as response:
        assert await response.content.readany() == b"data: x\n\n"
        with pytest.raises(aiohttp.ClientError):
            await response.read()


async def test_a_call_that_could_not_connect_closes_the_connection(path: Path) -> None:
    save_recording(path, [call(status=None, cause="unreachable")])
    with pytest.raises(aiohttp.ClientConnectionError):
        await posted(path).__aenter__()


async def test_an_unreachable_upstream_closes_the_connection() -> None:
    server = TransportServer(AiohttpTransport(), upstream="http://127.0.0.1:1")
    async with server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{server.url}/v4")


@pytest.mark.parametrize("upstream", ["127.0.0.1:80", "ftp://h", "http://", "http://h/v4"])
def test_a_wrong_upstream_is_rejected(upstream: str) -> None:
    with pytest.raises(InvalidArgument, match="upstream="):
        TransportServer(AiohttpTransport(), upstream=upstream)


# The command line


@contextmanager
def running(*arguments: object) -> Iterator[str]:
    """Run the command, and yield the URL that it prints."""
    command = [sys.executable, "-W", "error", "-m", "humanloop_async.testing", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("serving on http://127.0.0.1:"), process.stderr.read()
            yield line.removeprefix("serving on ").strip()
        finally:
            process.send_signal(signal.SIGINT)
            errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")


def test_the_command_plays_a_recording(path: Path) -> None:
    stream = RecordedCall(
        method="POST",
        url="http://h/v4/completion",
        body=json.dumps({**CALL, "stream": True}).encode(),
        status=200,
        response_headers={"Content-Type": "text/event-stream"},
        reads=[RecordedRead(0.1 * number, data) for number, data in enumerate(words("a", "b"))],
        ended_at=0.2,
    )
    save_recording(path, [stream])
    with running("play", path, "--speed", "inf") as url:
        assert [complete(url), complete(url)] == ["ab", "ab"]
    with running("play", path, "--once", "--fault", "invalid-json:after_events=1") as url:
        with pytest.raises(InvalidEvent, match="not JSON"):
            complete(url)
        with pytest.raises(NotFoundError, match="all 1 recorded calls"):
            complete(url)


def complete(url: str) -> str:
    """Stream a completion from a server, and return its text."""
    client = Humanloop("hl_key_12345", base_url=f"{url}/v4", max_retries=0)
    with client, client.complete_stream(**CALL) as stream:
        return stream.final().data[0].output


def test_the_command_records_a_server(path: Path, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(*words("a", "b"))
    with running("proxy", threaded_server.url, "--record", path) as url:
        assert complete(url) == "ab"
    [recorded] = load_recording(path)
    assert recorded.content == b"".join(words("a", "b"))
    assert "hl_key_12345" not in path.read_text()


def test_the_command_explains_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert main(["proxy", "http://127.0.0.1:1", "--port", str(port)]) == 1
    problem = f"cannot listen on 127.0.0.1 port {port}: the port is in use; use --port 0 for a free one"
    assert capsys.readouterr().err == f"python -m humanloop_async.testing: {problem}\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["play", "missing.jsonl"], "there is no recording missing.jsonl"),
        (["play", __file__], "line 1 is not"),
        (["proxy", "nowhere"], "upstream='nowhere'"),
        (["proxy", "http://127.0.0.1:1", "--fault", "explode"], "comments-only, cut"),
    ],
)
def test_the_command_explains_errors(
    arguments: list[str],
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.err.startswith("python -m humanloop_async.testing: ")
    assert "Traceback" not in captured.err
