"""Programs that leave streams and clients in every way cause no warning under ``-X dev -W error``."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import completion, event, words

START = """
import asyncio, gc, os, signal, sys, threading, time
from humanloop_async import *
URL = sys.argv[1]
CONFIG = {"model": "m"}
def client(**settings): return AsyncHumanloop(base_url=URL, transport=sys.argv[2], max_retries=0, **settings)
def opening(c, n=1): return c.complete_stream(model_config=CONFIG, num_samples=n)
def sync(**settings): return Humanloop(base_url=URL, transport=sys.argv[2], max_retries=0, **settings)
"""


def run(server: ScriptedServer, program: str, transport: str, *, code: int = 0, limit: float = 40) -> tuple[str, str]:
    script = START + textwrap.dedent(program)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", script, server.url, transport]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    # Debug mode reports slow callbacks, which depend on the machine.
    said = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("Executing <"))
    assert done.returncode == code, done.stderr
    return done.stdout, said


PROGRAMS = {
    "break": """
        async def main():
            async with client() as c:
                async with opening(c) as s:
                    async for _ in s: break
                s = await opening(c)
                async for _ in s: break
        asyncio.run(main())""",
    "cancel": """
        async def read(c):
            async with opening(c, 2) as s:
                await asyncio.gather(*(anext(x) for x in s.samples), s.final())
        async def main():
            async with client() as c:
                for double in (False, True):
                    t = asyncio.ensure_future(read(c)); await asyncio.sleep(.2); t.cancel()
                    if double: await asyncio.sleep(0); t.cancel()
                    try: await t
                    except asyncio.CancelledError: pass
        asyncio.run(main())""",
    "aclose twice and during anext": """
        async def main():
            async with client() as c:
                s = await opening(c); await anext(s)
                t = asyncio.ensure_future(anext(s)); await asyncio.sleep(.05)
                await s.aclose(); await s.aclose()
                try: await t
                except StreamClosed: pass
        asyncio.run(main())""",
    "garbage": """
        async def main():
            async with client() as c:
                s = await opening(c); await anext(s); del s; gc.collect()
                s = await opening(c); await anext(s.samples[0]); del s; gc.collect()
                await asyncio.sleep(.1)
        asyncio.run(main())""",
    "garbage in a cycle": """
        async def main():
            async with client() as c:
                s = await opening(c); await anext(s)
                box = [s]; box.append(box); del s, box; gc.collect(); await asyncio.sleep(.1)
        asyncio.run(main())""",
    "never awaited": """
        async def main():
            async with client() as c: opening(c).close()
        asyncio.run(main())""",
    "twice": """
        async def main(c):
            s = await opening(c); await anext(s); await s.aclose()
        c = client()
        asyncio.run(main(c)); asyncio.run(main(c))
        asyncio.run(c.aclose())""",
    "interrupted": """
        async def main():
            async with client() as c, opening(c) as s:
                threading.Timer(.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                async for _ in s: pass
        try: asyncio.run(main())
        except KeyboardInterrupt: pass""",
    "sync, interrupted": """
        with sync() as c, opening(c) as s:
            threading.Timer(.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            started = time.monotonic()
            try: list(s)
            except KeyboardInterrupt: pass
            assert time.monotonic() - started < 8""",
    "sync, break and garbage": """
        with sync() as c:
            s = opening(c)
            for _ in s: break
            s = opening(c); next(s); del s; gc.collect()""",
    "sync, closed before its stream": """
        c = sync(); s = opening(c); next(s); c.close(); s.close(); del s; gc.collect()""",
    "sync, never closed": """
        c = sync(); s = opening(c); next(s); del s; time.sleep(.1); del c; gc.collect(); time.sleep(.2)""",
    "sync, never closed until the end": """
        c = sync(); s = opening(c); next(s)""",
    "sync, beside a running loop": """
        async def main():
            with sync() as c:
                for _ in opening(c): break
        asyncio.run(main())""",
}


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_causes_no_output(threaded_server: ScriptedServer, program: str, transport: str) -> None:
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    assert run(threaded_server, program, transport) == ("", "")


USE = "async def main(): s = await opening(c); await anext(s); await s.aclose()\nc = client(); asyncio.run(main())"
FORGETFUL = {
    "after use": f"{USE}; del c; gc.collect()",
    "at the end": USE,
    "in the middle": "async def main():\n    c = client(); s = await opening(c); await anext(s)\nasyncio.run(main())",
}


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
@pytest.mark.parametrize("program", FORGETFUL.values(), ids=FORGETFUL)
def test_a_client_that_is_never_closed_causes_one_warning(
    threaded_server: ScriptedServer, program: str, transport: str
) -> None:
    """The warning names the client. The sync client closes without a warning."""
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    _, said = run(threaded_server, program, transport)
    warnings = [line for line in said.splitlines() if line.partition(":")[0].endswith("Warning")]
    assert len(warnings) == 1, said
    assert "ResourceWarning" in warnings[0]
    assert "Humanloop(base_url=" in warnings[0]
    assert "was not closed" in warnings[0]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="not applicable: needs os.fork")
@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_after_a_fork_parent_and_child_can_call(threaded_server: ScriptedServer, transport: str) -> None:
    """The child has another thread and other connections, so closing them does not affect the parent."""
    threaded_server.add_script(
        STREAM_HEAD, http_chunk(event(0, "a")), 1.0, http_chunk(event(0, "b", "stop")), LAST_CHUNK
    )
    program = """
        import warnings; warnings.simplefilter("ignore")  # Python 3.12 warns about fork beside threads
        c = sync(); s = opening(c); assert next(s).output == "a"
        pid = os.fork()
        if pid == 0:
            ok = False
            try:
                ok = opening(c).final().data[0].output == "ab"
                c.close(); del s, c; gc.collect()
            finally: os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0, "the child failed"
        assert [x.output for x in s] == ["b"]
        assert opening(c).final().data[0].output == "ab"
        c.close(); print("done")"""
    out, _ = run(threaded_server, program, transport)
    assert out == "done\n"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="not applicable: needs os.fork")
@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_a_fork_during_a_call_does_not_block_the_child(threaded_server: ScriptedServer, transport: str) -> None:
    """A lock that another thread of the parent holds during the fork is never released in the child."""
    threaded_server.add_stream(*words("a", "b"))
    program = """
        import warnings; warnings.simplefilter("ignore")  # Python 3.12 warns about fork beside threads
        c = sync(); opening(c).final()
        held, forked = threading.Event(), threading.Event()
        def in_a_call():
            with c._loop._lock: held.set(); forked.wait()
        threading.Thread(target=in_a_call).start()
        held.wait(); pid = os.fork(); forked.set()
        if pid == 0:
            signal.alarm(20)
            ok = False
            try:
                ok = opening(c).final().data[0].output == "ab"
                c.close()
            finally: os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0, "the child failed"
        assert opening(c).final().data[0].output == "ab"
        c.close(); print("done")"""
    out, _ = run(threaded_server, program, transport)
    assert out == "done\n"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="not applicable: needs os.fork")
@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_a_forked_child_opens_new_connections(threaded_server: ScriptedServer, transport: str) -> None:
    threaded_server.add_response(completion("a"))
    program = """
        import warnings; warnings.simplefilter("ignore")  # Python 3.12 warns about fork beside threads
        c = sync(); c.complete(model_config=CONFIG)
        if (pid := os.fork()) == 0:
            try: c.complete(model_config=CONFIG); c.close()
            finally: os._exit(0)
        os.waitpid(pid, 0); c.complete(model_config=CONFIG); c.close()"""
    run(threaded_server, program, transport)
    assert [request.connection for request in threaded_server.requests] == [1, 2, 1]
