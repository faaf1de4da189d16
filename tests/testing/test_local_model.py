"""Recordings of the local model, replayed byte for byte: through both transports, both clients and over HTTP."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from humanloop_async import AiohttpTransport, AsyncHumanloop, EmbeddedServer, HttpRequest, HttpxTransport, Humanloop
from humanloop_async.server.providers.local import unavailable
from humanloop_async.testing import RecordedCall, RecordingTransport, ReplayTransport, TransportServer, load_recording
from tests.interop.environments import MissingEnvironment, command

REASON = unavailable()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=f"no local model: {REASON}"),
    pytest.mark.timeout(240),
]

CONFIG: Any = {"provider": "local", "model": "any", "prompt_template": "Count in words.", "max_tokens": 16}
CALL: dict[str, Any] = {"project": "sky", "model_config": CONFIG, "num_samples": 2}


@pytest.fixture(scope="module")
def local() -> Iterator[EmbeddedServer]:
    """An embedded server in another thread, so that its model is loaded once."""
    embedded = EmbeddedServer(api_key="hl_local_key")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedded) as server:
        yield server


def transport_of(name: str) -> AiohttpTransport | HttpxTransport:
    return AiohttpTransport() if name == "aiohttp" else HttpxTransport()


async def reads_of(transport: Any, url: str, call: RecordedCall) -> list[bytes]:
    """Send a recorded request, and return the reads of its response."""
    response = await transport.send(HttpRequest("POST", url, {}, call.body), 30)
    reads = []
    while data := await response.read(30):
        reads.append(data)
    return reads


@pytest.mark.parametrize("name", ["aiohttp", "httpx"])
async def test_a_recording_is_replayed_byte_for_byte(local: EmbeddedServer, tmp_path: Path, name: str) -> None:
    path = tmp_path / "local.jsonl"
    recorder = RecordingTransport(transport_of(name), path)
    client = AsyncHumanloop(local.api_key, base_url=local.base_url, transport=recorder)
    async with client.complete_stream(**CALL) as stream:
        recorded = (await stream.final()).body
    await recorder.aclose()
    [call] = load_recording(path)
    original = [read.data for read in call.reads]
    assert len(original) > 8
    assert [call.cause, local.api_key in path.read_text()] == ["complete", False]

    # In the process: the same reads.
    assert await reads_of(ReplayTransport(path, math.inf), call.url, call) == original
    client = AsyncHumanloop(transport=ReplayTransport(path, math.inf))
    async with client.complete_stream(**CALL) as stream:
        assert (await stream.final()).body == recorded
    assert await asyncio.to_thread(replay_sync, path) == recorded

    # Over HTTP, to either transport: the same bytes.
    async with TransportServer(ReplayTransport(path, math.inf, repeat=True)) as server:
        for other in ("aiohttp", "httpx"):
            async with aclosing(transport_of(other)) as transport:
                reads = await reads_of(transport, f"{server.url}/v4/completion", call)
                assert b"".join(reads) == b"".join(original)


def replay_sync(path: Path) -> Any:
    with Humanloop(transport=ReplayTransport(path, math.inf)) as client, client.complete_stream(**CALL) as stream:
        return stream.final().body


@pytest.mark.parametrize("name", ["python-0.7.35"])
async def test_the_official_client_reads_a_recording(local: EmbeddedServer, tmp_path: Path, name: str) -> None:
    """It is recorded through the server of this package, and then gets the same chunks without the model."""
    try:
        argv, variables = command(name)
    except MissingEnvironment as missing:
        pytest.skip(str(missing))
    script = str(Path(__file__).with_name("official_stream.py"))

    async def chunks(url: str, key: str) -> Any:
        arguments = [*argv[:-1], script, f"{url}/v4", key, config_id]
        environ = {"NO_PROXY": "127.0.0.1", **variables}
        done = await asyncio.to_thread(
            subprocess.run, arguments, env=environ, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async with AsyncHumanloop(local.api_key, base_url=local.base_url) as client:
        registered = await client.model_configs.register(project="sky", **CONFIG)
        config_id = registered.config.id
    path = tmp_path / "official.jsonl"
    recorder = RecordingTransport(AiohttpTransport(), path)
    async with TransportServer(recorder, upstream=local.base_url.removesuffix("/v4")) as server:
        recorded = await chunks(server.url, local.api_key)
    assert len(recorded) > 8
    text = path.read_text()
    assert local.api_key not in text
    assert "sk-official-key" not in text
    async with TransportServer(ReplayTransport(path)) as server:
        assert await chunks(server.url, "hl_another_key") == recorded
