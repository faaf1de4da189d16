"""Programs that end inside a loop over a stream end the same on asyncio and uvloop."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from humanloop_async.testing import STREAM_HEAD, ScriptedServer, http_chunk
from tests.events import event

PROGRAM = """
import asyncio, os, signal, sys, threading, time
from humanloop_async import AsyncHumanloop
url, transport, loop, block, samples = sys.argv[1:]

def leave():
    {leave}

async def read(pieces):
    async for piece in pieces:
        if piece.output == "3 ":
            leave()

async def use(stream):
    if samples == "1":
        await read(stream)
    else:
        await asyncio.gather(*map(read, stream.samples))

def opening(client):
    return client.complete_stream(model_config={{"model": "m"}}, num_samples=int(samples))

async def main():
    client = AsyncHumanloop(base_url=url, transport=transport)
    if block == "no block":
        await use(await opening(client))  # no `finally` awaits anything between the exit and the end of the task
    else:
        async with client, opening(client) as stream:
            await use(stream)

if loop == "uvloop":
    import uvloop
    factory = uvloop.new_event_loop
else:
    factory = asyncio.new_event_loop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
print("not left")
"""
WAYS = {
    "sys.exit": ("sys.exit(7)", 7),
    "Ctrl-C": ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
    "Ctrl-C while the program computes": (
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    until = time.monotonic() + 0.3\n"
        "    while time.monotonic() < until: pass",
        -signal.SIGINT,
    ),
}


@pytest.mark.parametrize(("samples", "block"), [(1, "no block"), (2, "block")])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("way", WAYS)
def test_a_program_ends_in_a_loop_over_a_stream(
    threaded_server: ScriptedServer, transport: str, way: str, loop: str, samples: int, block: str
) -> None:
    pytest.importorskip(loop)
    tokens = [(http_chunk(event(index, f"{number} ")), 0.02) for number in range(1000) for index in range(samples)]
    threaded_server.add_script(STREAM_HEAD, *(step for token in tokens for step in token))
    leave, code = WAYS[way]
    warnings = ["-W", "error", "-W", "ignore::ResourceWarning"] if block == "no block" else ["-W", "error"]
    command = [sys.executable, "-X", "dev", *warnings, "-c", PROGRAM.format(leave=leave)]
    arguments = [threaded_server.url, transport, loop, block, str(samples)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Exception ignored" not in done.stderr
    # In debug mode aiohttp may report the open response after the traceback, as a ResourceWarning does.
    traceback = done.stderr.partition("Unclosed response\n")[0]
    assert traceback.endswith("KeyboardInterrupt\n") == (code < 0), done.stderr
    until = time.monotonic() + 5
    while threaded_server.open_connections:
        assert time.monotonic() < until
        time.sleep(0.01)
