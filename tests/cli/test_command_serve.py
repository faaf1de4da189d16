"""``serve``: what it prints, what it refuses, how it stops."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command_line import Served, environment, read_until, rest, run, running, serving


def curl_line(served: Served) -> str:
    return next(line for line in served.banner.splitlines() if line.startswith("curl "))


def stopped(served: Served) -> str:
    """Ctrl-C; what was written to standard error."""
    served.process.send_signal(signal.SIGINT)
    return rest(served.process)[1]


def test_the_key_is_shown_when_it_is_made_and_never_again(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        assert f"database   {tmp_path / 'humanloop.db'}\n" in first.banner
        assert "made just now; keep it" in first.banner
        assert first.key in curl_line(first)
        assert run("complete", "--provider", "mock", "x", env=first.env).returncode == 0
        assert stopped(first) == "stopped\n"
        assert first.process.returncode == 0
    with serving(tmp_path) as second:
        assert first.key not in second.banner
        assert "the one made at an earlier start" in second.banner
        assert run("complete", "--provider", "mock", "x", env={**second.env, **key(first.key)}).returncode == 0


def key(value: str) -> dict[str, str]:
    return {"HUMANLOOP_API_KEY": value}


def test_a_key_of_ones_own_is_used_and_not_shown(tmp_path: Path) -> None:
    with serving(tmp_path, "--access-log", env=key("a-key-of-mine")) as served:
        assert "the one in HUMANLOOP_API_KEY" in served.banner
        assert '-H "X-API-KEY: $HUMANLOOP_API_KEY"' in curl_line(served)
        done = run("complete", "--provider", "mock", "sesame", env={**served.env, **key("a-key-of-mine")})
        assert done.returncode == 0
        log = stopped(served)
        assert '"POST /v4/completion HTTP/1.1" 200' in log
        assert "a-key-of-mine" not in served.banner + log
        assert "sesame" not in log


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("given", [{}, {"HUMANLOOP_API_KEY": 'it\'s a "key"'}], ids=["new key", "own key"])
def test_the_curl_line_works_as_it_is(tmp_path: Path, given: dict[str, str]) -> None:
    with serving(tmp_path, env=given) as served:
        done = subprocess.run(
            ["sh", "-c", curl_line(served)],
            capture_output=True,
            text=True,
            env=environment(given),
            timeout=50,
            check=True,
        )
        assert done.stdout.startswith("data: {")
        assert done.stdout.count('"finish_reason":"stop"') == 2


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_taken(tmp_path: Path, taken: int) -> None:
    done = run("serve", "--port", str(taken), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"humanloop-async: cannot listen on 127.0.0.1 port {taken}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_a_host_that_no_host_has(tmp_path: Path, host: str, more: list[str]) -> None:
    done = run("serve", "--port", "0", "--host", host, *more, env=key("a-key"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"humanloop-async: cannot listen on {host} port 0: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("/dev/null/humanloop.db", "cannot open the database"),
        ("/", "unable to open"),
        ("mysql://localhost/x", "mysql is not supported"),
        ("postgresql://u@h:abc/x", "invalid database URL"),
    ],
)
def test_a_database_that_cannot_be_had(tmp_path: Path, database: str, words: str) -> None:
    done = run("serve", "--port", "0", "--db", database, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_beyond_this_machine_only_with_a_key(tmp_path: Path) -> None:
    done = run("serve", "--port", "0", "--host", "0.0.0.0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "set HUMANLOOP_API_KEY" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (["--port", "65536"], {}, "Must be <= 65535"),
        (["--grace", "-1"], {}, "Must be >= 0"),
        (["extra"], {}, "extra"),
        (["--max-body", "inf"], {}, "Must be <="),
        (["--environment", b"\xff"], {}, "is not UTF-8"),
        ([], {"HUMANLOOP_API_KEY": "a\nb"}, "HUMANLOOP_API_KEY"),
        ([], {"HUMANLOOP_API_KEY": "\udcff"}, "HUMANLOOP_API_KEY"),
        ([], {"OPENAI_BASE_URL": "http://[::1"}, "OPENAI_BASE_URL"),
        ([], {"OPENAI_BASE_URL": "example"}, "OPENAI_BASE_URL must start with"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str | bytes], env: dict[str, str], words: str) -> None:
    done = run("serve", *arguments, env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") <= 2


def test_running_generations_get_their_time_unless_ctrl_c_comes_twice(tmp_path: Path) -> None:
    ask = ("complete", "--provider", "mock", "The sea is")
    with serving(tmp_path, "--mock-pace", "20", "--grace", "60") as served:
        with running(*ask, env=served.env) as generation:
            read_until(generation, " ")
            served.process.send_signal(signal.SIGINT)
            rest(generation)
            assert generation.returncode == 0  # it could finish
        assert served.process.wait(20) == 0

    own = key("a-key-of-mine")
    slow = serving(tmp_path, "--mock-pace", "2", "--grace", "60", env=own)
    with slow as served, running(*ask, env={**served.env, **own}) as generation:
        read_until(generation, " ")
        served.process.send_signal(signal.SIGINT)
        read_until(generation, " ")  # still given its time
        served.process.send_signal(signal.SIGINT)
        _, err = rest(served.process)
        assert served.process.returncode == 130
        assert "Traceback" not in err


def test_environments_are_named_at_start(tmp_path: Path) -> None:
    with serving(tmp_path, "--environment", "live", "--environment", "trial") as served:
        assert "deploy to  live (default), trial\n" in served.banner
    refused = run("serve", "--environment", "live", "--environment", "live", "--db", str(tmp_path / "x.db"))
    assert (refused.returncode, refused.stderr) == (
        1,
        "humanloop-async: environments need different names of 1 to 255 characters; one at least\n",
    )
