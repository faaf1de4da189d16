"""The sync client in gunicorn's workers, which fork, and under gevent, which replaces threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, ScriptedServer, http_chunk, http_response
from tests.docs.programs import free_port, listening, require
from tests.events import completion, words

require("flask", "gevent", "gunicorn")

pytestmark = pytest.mark.timeout(120)  # starting a program takes most of it
ROOT = Path(__file__).parents[2]
PLAIN = http_response(completion("plain"))
STREAMED = b"".join([STREAM_HEAD, *map(http_chunk, words("str", "eamed")), LAST_CHUNK])


@pytest.mark.parametrize("used", ["", "1"], ids=["unused", "used before the fork"])
@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_a_client_in_gunicorn(threaded_server: ScriptedServer, worker: str, preload: list[str], used: str) -> None:
    """Gevent is rejected by name, and every other worker can call with a client from before the fork."""
    calls = 4
    for script in [PLAIN] * bool(used) + [PLAIN, STREAMED] * calls:
        threaded_server.add_script(script)
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", worker, "--log-level", "critical"]
    command = [sys.executable, "-m", "gunicorn", *options, *preload, "tests.frameworks.flask_app:app"]
    env = os.environ | {"HUMANLOOP_BASE_URL": threaded_server.url, "HUMANLOOP_API_KEY": "k", "USE_BEFORE_FORK": used}
    if worker == "gevent" and used:
        pytest.skip("not applicable: gevent has patched the threads before the program is loaded")
    with listening(command, port, cwd=ROOT, env=env), httpx.Client(base_url=f"http://127.0.0.1:{port}") as browser:
        for _ in range(calls):
            for path in ("call", "stream"):
                response = browser.get(path, timeout=20)
                if worker == "gevent":
                    assert response.status_code == 502
                    assert "gevent" in response.text
                else:
                    assert response.text == {"call": "plain", "stream": "streamed"}[path]


PROGRAM = """
import sys
from gevent import monkey
{before}
from humanloop_async import ApiException, Humanloop
for _ in range(2):
    client = Humanloop(base_url=sys.argv[1])
    {use}
    try:
        print(client.complete(model_config={{"model": "m"}}).data[0].output)
    except ApiException as exc:
        print("gevent" in str(exc))
"""


@pytest.mark.parametrize(
    ("before", "use", "output"),
    [
        ("monkey.patch_all()", "", "True"),
        ("monkey.patch_all(thread=False)", "", "plain"),
        ("", "client.complete(model_config={'model': 'm'}); monkey.patch_all(thread=False)", "plain"),
        ("", "", "plain"),
    ],
)
def test_clients_beside_gevent(threaded_server: ScriptedServer, before: str, use: str, output: str) -> None:
    threaded_server.add_script(PLAIN)
    command = [sys.executable, "-c", PROGRAM.format(before=before, use=use), threaded_server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, f"{output}\n" * 2), done.stderr
