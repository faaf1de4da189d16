"""The `start` measure: from a bare Python to an imported package, a client, and its first response."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .environments import PEERS, ROOT, installed_size, own_interpreter
from .measures import Figure, Measure, Result
from .runner import Bench, summarise

# For each client: the import, the constructor, one call and its text. Each runs in a new interpreter.
_V4 = "project='b', model_config={'model': 'm'}, messages=[{'role': 'user', 'content': 'Hello'}]"
_OPENAI = "model='m', messages=[{'role': 'user', 'content': 'Hello'}]"
_POST = f"client.post('http://127.0.0.1:PORT/v4/chat', json=dict({_V4}))"
STEPS: dict[str, tuple[str, str, str]] = {
    "ours": (
        "import humanloop_async as h",
        "client = h.AsyncHumanloop(base_url='http://127.0.0.1:PORT/v4', api_key='k')",
        f"text = (await client.chat({_V4})).data[0].output; await client.aclose()",
    ),
    "official": (
        "import humanloop as h",
        "client = h.Humanloop(host='http://127.0.0.1:PORT/v4', api_key='k')",
        f"text = (await client.achat({_V4})).data[0].output",
    ),
    "openai": (
        "import openai",
        "client = openai.AsyncOpenAI(base_url='http://127.0.0.1:PORT/v1', api_key='k')",
        f"text = (await client.chat.completions.create({_OPENAI})).choices[0].message.content; await client.close()",
    ),
    "httpx-sse": (
        "import httpx, httpx_sse",
        "client = httpx.AsyncClient()",
        f"text = (await {_POST}).json()['data'][0]['output']; await client.aclose()",
    ),
    "aiohttp-json": (
        "import aiohttp",
        "client = aiohttp.ClientSession()",
        f"text = (await (await {_POST}).json())['data'][0]['output']; await client.close()",
    ),
}

SCRIPT = """
import time
begin = time.perf_counter()
IMPORT
imported = time.perf_counter()
import asyncio, json
async def main():
    CLIENT
    ready = time.perf_counter()
    CALL
    answered = time.perf_counter()
    assert text
    times = [t - begin for t in (imported, ready, answered)]
    print(json.dumps(dict(zip(("import_s", "client_s", "call_s"), times))))
asyncio.run(main())
"""

START = Measure(
    "start",
    "Start: wall time since the interpreter was ready, and installed size",
    tuple(STEPS),
    (),
    (
        Figure("import_ms", "import ms", lambda r: r["import_s"] * 1e3),
        Figure("client_ms", "client ready ms", lambda r: r["client_s"] * 1e3),
        Figure("call_ms", "first response ms", lambda r: r["call_s"] * 1e3),
        Figure("installed_mb", "installed MB", lambda r: r.get("installed_mb")),
        Figure("packages", "packages", lambda r: r.get("packages")),
    ),
)


def run_once(bench: Bench, name: str, python: Path) -> Result:
    """Start an interpreter that imports the client, creates one and makes one call."""
    script = SCRIPT
    for mark, step in zip(("IMPORT", "CLIENT", "CALL"), STEPS[name], strict=True):
        script = script.replace(mark, step)

    core = bench.peer_core
    command = [str(python), "-c", script.replace("PORT", str(bench.port))]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:200]}
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def run(bench: Bench, peers: list[str], rounds: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the measure; the result has the shape of `Bench.run`, with one case."""
    bench.plan({"kind": "calls"})
    runs: dict[str, list[Result]] = {}
    for number in range(rounds + 1):  # the first fills the disk cache and `__pycache__`, and is dropped
        progress(f"start, round {number} of {rounds}")
        for name in (name for name in STEPS if name in peers and name not in bench.gaps):
            python = bench.interpreter(PEERS[name])
            if python is None:
                bench.gaps[name] = "not installed"
                continue
            result = run_once(bench, name, python)
            if "ModuleNotFoundError" in result.get("error", ""):
                bench.gaps[name] = result["error"]
                continue
            if python == own_interpreter(PEERS[name]):
                result |= installed_size(PEERS[name].environment)
            runs.setdefault(name, []).append(result)
    return {"": summarise(START, {name: results[1:] for name, results in runs.items()})}
