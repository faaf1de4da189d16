"""``serve``: its output, its errors, and how it stops."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from humanloop_async.cli.app import app
from humanloop_async.server.settings import ServerSettings
from humanloop_async.testing import STREAM_HEAD, ScriptedServer, http_chunk
from tests.cli.command_line import (
    COMMAND,
    Served,
    call,
    completed,
    environment,
    read_until,
    rest,
    run,
    running,
    serving,
)


def curl_line(served: Served) -> str:
    return next(line for line in served.banner.splitlines() if line.startswith("curl "))


def stopped(served: Served) -> str:
    """Press Ctrl-C and return the standard error."""
    served.process.send_signal(signal.SIGINT)
    return rest(served.process)[1]


def test_a_new_key_is_shown_only_once(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        assert f"database   {tmp_path / 'humanloop.db'}\n" in first.banner
        assert "new; keep it" in first.banner
        assert first.key in curl_line(first)
        assert run("complete", "--provider", "mock", "x", env=first.env).returncode == 0
        assert stopped(first) == "stopped\n"
        assert first.process.returncode == 0
    with serving(tmp_path) as second:
        assert first.key not in second.banner
        assert "created at an earlier start" in second.banner
        assert run("complete", "--provider", "mock", "x", env={**second.env, **key(first.key)}).returncode == 0


def test_what_a_start_creates_is_shown_before_it_is_ready(tmp_path: Path) -> None:
    path = tmp_path / "new" / "humanloop.db"
    start = f"  database   {path}\n             (new, in the new folder {path.parent})\n"
    with running("serve", "--port", "0", "--db", str(path), cwd=tmp_path) as process:
        assert read_until(process, "address").endswith(start + "  address")
        read_until(process, "curl ")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # the start waits for this transaction
        with running("serve", "--port", "0", "--db", str(path), cwd=tmp_path) as process:
            assert read_until(process, ".db\n").endswith(f"  database   {path}\n")


def test_the_url_of_the_page_has_the_key_only_once(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        assert re.search(rf"^  web page   http://127\.0\.0\.1:\d+/#key={first.key}$", first.banner, re.MULTILINE)
    with serving(tmp_path) as second:
        assert re.search(r"^  web page   http://127\.0\.0\.1:\d+/$", second.banner, re.MULTILINE)
    with serving(tmp_path, "--no-page") as third:
        assert "web page" not in third.banner


def key(value: str) -> dict[str, str]:
    return {"HUMANLOOP_API_KEY": value}


def test_a_key_from_the_environment_is_accepted_and_not_shown(tmp_path: Path) -> None:
    with serving(tmp_path, "--access-log", env=key("a-key-of-mine")) as served:
        assert "the value of HUMANLOOP_API_KEY" in served.banner
        assert '-H "X-API-KEY: $HUMANLOOP_API_KEY"' in curl_line(served)
        done = run("complete", "--provider", "mock", "sesame", env={**served.env, **key("a-key-of-mine")})
        assert done.returncode == 0
        log = stopped(served)
        assert '"POST /v4/completion HTTP/1.1" 200' in log
        assert "a-key-of-mine" not in served.banner + log
        assert "sesame" not in log


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "variables", [{}, {"HUMANLOOP_API_KEY": 'it\'s a "key"'}], ids=["new key", "key from the environment"]
)
def test_the_curl_line_works(tmp_path: Path, variables: dict[str, str]) -> None:
    with serving(tmp_path, env=variables) as served:
        done = subprocess.run(
            ["sh", "-c", curl_line(served)],
            capture_output=True,
            text=True,
            env=environment(variables),
            timeout=50,
            check=True,
        )
        assert done.stdout.startswith("data: {")
        assert done.stdout.count('"finish_reason":"stop"') == 2


@pytest.fixture
def taken() -> Iterator[int]:
    """A port with a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_in_use(tmp_path: Path, taken: int) -> None:
    done = run("serve", "--port", str(taken), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    problem = f"cannot listen on 127.0.0.1 port {taken}: the port is in use; use --port 0 for a free one\n"
    assert done.stderr == f"humanloop-async: {problem}"
    assert not (tmp_path / "humanloop.db").exists()


def test_the_banner_says_which_other_keys_are_valid(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        assert "HUMANLOOP_API_KEY," not in first.banner
    with serving(tmp_path, env=key("old")) as second:
        assert "the value of HUMANLOOP_API_KEY, and one of the database\n" in second.banner
        assert call(second, "old") == 200
    with serving(tmp_path, env=key("new")) as third:
        assert "the value of HUMANLOOP_API_KEY, and one of the database\n" in third.banner
        assert [call(third, value) for value in ("old", "new", first.key)] == [401, 200, 200]
        third.process.terminate()
        third.process.wait(20)
    listed = run("keys", "list", "--db", str(tmp_path / "humanloop.db")).stdout.splitlines()
    assert [("used 20" in line, "valid while set" in line) for line in listed] == [
        (True, False),
        (False, True),  # its server was killed before it stored the use
        (True, True),
    ]
    assert [" first start" in line for line in listed] == [True, False, False]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_key_is_created_that_nobody_sees(tmp_path: Path, taken: int, workers: str) -> None:
    """The port is taken, or the output cannot be written; the next start prints a new key."""
    done = run("serve", "--port", str(taken), "--workers", workers, cwd=tmp_path)
    assert "cannot listen" in done.stderr
    with Path("/dev/full").open("w") as full:
        arguments = ["serve", "--port", "0", "--workers", workers]
        failed = subprocess.run(
            [*COMMAND, *arguments], cwd=tmp_path, env=environment(), stdout=full, stderr=-1, timeout=50, check=False
        )
    assert failed.returncode == 1
    assert b"No space left" in failed.stderr
    with serving(tmp_path) as served:
        assert "new; keep it" in served.banner
    assert len(run("keys", "list", cwd=tmp_path).stdout.splitlines()) == 1


@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_an_invalid_host_name(tmp_path: Path, host: str, more: list[str]) -> None:
    done = run("serve", "--port", "0", "--host", host, *more, env=key("a-key"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"humanloop-async: cannot listen on {host} port 0: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("/dev/null/humanloop.db", "cannot open the database"),
        ("/", "unable to open"),
        ("mysql://localhost/x", "mysql is not supported"),
        ("postgresql://u@h:abc/x", "invalid database URL"),
    ],
)
def test_an_unusable_database(tmp_path: Path, database: str, message: str) -> None:
    done = run("serve", "--port", "0", "--db", database, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_listening_everywhere_shows_a_url_that_a_browser_opens(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", env=key("a-key-of-mine")) as served:
        assert re.match(r"http://127\.0\.0\.1:\d+/v4$", served.base_url)
        assert f"{served.base_url}\n             (listens on all addresses of this machine)\n" in served.banner
        assert "0.0.0.0" not in served.banner
        assert call(served, "a-key-of-mine") == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_missing_metrics_are_an_error_before_the_banner(tmp_path: Path, workers: str) -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; from humanloop_async.__main__ import main; main()"
    arguments = ["serve", "--port", "0", "--metrics", "--workers", workers]
    done = subprocess.run(
        [COMMAND[0], "-c", code, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "(in its folder: pip install '.[metrics]')" in done.stderr


def test_a_non_loopback_address_requires_a_key(tmp_path: Path) -> None:
    done = run("serve", "--port", "0", "--host", "0.0.0.0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "set HUMANLOOP_API_KEY" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "humanloop.db").exists()


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (["--port", "65536"], {}, "Must be <= 65535"),
        (["--grace", "-1"], {}, "Must be >= 0"),
        (["extra"], {}, "extra"),
        (["--max-body", "inf"], {}, "Must be <="),
        (["--environment", b"\xff"], {}, "is not valid UTF-8"),
        (["--tools", "missing.toml"], {}, "cannot read the tools in missing.toml: No such file or directory"),
        (["--mock-script", "missing.yaml"], {}, "cannot read the mock script missing.yaml: No such file or directory"),
        ([], {"HUMANLOOP_MOCK_SCRIPT": "missing.json"}, "cannot read the mock script missing.json"),
        ([], {"HUMANLOOP_API_KEY": "a\nb"}, "HUMANLOOP_API_KEY"),
        ([], {"HUMANLOOP_API_KEY": "\udcff"}, "HUMANLOOP_API_KEY"),
        ([], {"OPENAI_BASE_URL": "http://[::1"}, "OPENAI_BASE_URL"),
        ([], {"OPENAI_BASE_URL": "example"}, "OPENAI_BASE_URL must start with"),
    ],
)
def test_invalid_usage(tmp_path: Path, arguments: list[str | bytes], env: dict[str, str], message: str) -> None:
    done = run("serve", *arguments, env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") <= 2


def test_the_replies_of_mock_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text("- text: One.\n- prompt: sea\n  text: Blue.\n")
    with serving(tmp_path, "--mock-script", "script.yaml") as served:
        assert completed(served, "Hello")["data"][0]["output"] == "One."
        assert completed(served, "The sea is")["data"][0]["output"] == "Blue."


def test_running_generations_finish_unless_ctrl_c_is_pressed_twice(tmp_path: Path) -> None:
    ask = ("complete", "--provider", "mock", "The sea is")
    with serving(tmp_path, "--mock-pace", "20", "--grace", "60") as served:
        with running(*ask, env=served.env) as generation:
            read_until(generation, " ")
            served.process.send_signal(signal.SIGINT)
            rest(generation)
            assert generation.returncode == 0  # it finished
        assert served.process.wait(20) == 0

    variables = key("a-key-of-mine")
    slow = serving(tmp_path, "--mock-pace", "2", "--grace", "60", env=variables)
    with slow as served, running(*ask, env={**served.env, **variables}) as generation:
        read_until(generation, " ")
        served.process.send_signal(signal.SIGINT)
        read_until(generation, " ")  # it still runs
        served.process.send_signal(signal.SIGINT)
        _, err = rest(served.process)
        assert served.process.returncode == 130
        assert "Traceback" not in err


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_a_provider_sends_tokens_stops_the_server(tmp_path: Path, presses: int) -> None:
    """With uvloop, too, which the tests install: the signal arrives while a connection receives a token."""
    token = b'data: {"choices": [{"index": 0, "delta": {"content": "a "}}]}\n\n'
    with ScriptedServer().in_thread() as provider:
        provider.add_script(STREAM_HEAD, *(step for _ in range(20_000) for step in (http_chunk(token), 0.002)))
        variables = {**key("a-key-of-mine"), "OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": f"{provider.url}/v1"}
        grace = "0.5" if presses == 1 else "60"
        ask = ("complete", "--provider", "openai", "--model", "m", "x")
        with serving(tmp_path, "--grace", grace, env=variables) as served, ExitStack() as stack:
            env = {**served.env, **variables}
            calls = [stack.enter_context(running(*ask, env=env)) for _ in range(3)]
            for generation in calls:
                read_until(generation, "a ")
            for _ in range(presses):
                served.process.send_signal(signal.SIGINT)
                time.sleep(0.2)
            _, err = rest(served.process, 20)
            assert served.process.returncode == (0 if presses == 1 else 130)
            assert "Traceback" not in err
        until = time.monotonic() + 5
        while provider.open_connections:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_the_banner_lists_the_environments(tmp_path: Path) -> None:
    with serving(tmp_path, "--environment", "live", "--environment", "trial") as served:
        assert "deploy to  live (default), trial\n" in served.banner
    repeated = run(
        "serve", "--port", "0", "--environment", "live", "--environment", "live", "--db", str(tmp_path / "x.db")
    )
    assert (repeated.returncode, repeated.stderr) == (
        1,
        "humanloop-async: invalid environments ['live', 'live']: give at least one, "
        "with distinct names of 1 to 255 characters\n",
    )


def test_options_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[ServerSettings] = []
    monkeypatch.setattr("humanloop_async.cli.serve.run_server", lambda settings, **_: started.append(settings))
    options = {
        "--db-connections": ("4", "db_connections", 4),
        "--max-body": ("0.5", "max_body_bytes", 512 * 1024),
        "--max-bodies": ("8", "max_bodies_bytes", 8 * 1024 * 1024),
        "--max-samples-size": ("2", "max_samples_bytes", 2 * 1024 * 1024),
        "--list-timeout": ("1.5", "list_timeout", 1.5),
        "--drain-delay": ("3", "drain_delay", 3),
        "--idle-timeout": ("9", "idle_timeout", 9),
        "--idempotency-ttl": ("0.5", "idempotency_ttl", 1800),
    }
    arguments = [text for option, (value, _, _) in options.items() for text in (option, value)]
    for given in ([], arguments):
        app(["serve", *given], result_action="return_value", exit_on_error=False)
    default, changed = started
    assert default == ServerSettings()
    assert all(getattr(changed, name) == value for _, name, value in options.values())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_log_can_be_json_with_a_level(tmp_path: Path, workers: str) -> None:
    options = ("--log-format", "json", "--log-level", "error", "--access-log", "--workers", workers)
    with serving(tmp_path, *options) as served:
        assert call(served) == 200
        failing = {"provider": "mock", "model": "m", "other": {"fail_after": 0}}
        request = urllib.request.Request(
            f"{served.base_url}/chat",
            data=json.dumps({"model_config": failing, "messages": [{"role": "user", "content": "x"}]}).encode(),
            headers={"X-API-KEY": served.key, "Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request)
        *lines, last = stopped(served).splitlines()
    assert last == "stopped"
    assert [(line["logger"], line["status"]) for line in map(json.loads, lines)] == [
        ("humanloop_async.server.access", 200),
        ("humanloop_async.server.access", 503),  # and no warning about the provider
    ]


def test_variables_set_address_and_database_and_the_banner_names_providers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    env = {
        "HUMANLOOP_DB": str(tmp_path / "named.db"),
        "HUMANLOOP_HOST": "localhost",
        "HUMANLOOP_PORT": port,
        "HUMANLOOP_PROT": "1",
        "OPENAI_API_KEY": "sk-1",
    }
    with running("serve", env=env, cwd=tmp_path) as process:
        banner = read_until(process, "curl ")
        process.send_signal(signal.SIGINT)
        log = rest(process)[1]
    assert f":{port}/v4" in banner
    assert "named.db" in banner
    assert re.search(r"providers  .*mock.*, openai.* \(others with the caller's key\)", banner)
    assert "warning: the variable HUMANLOOP_PROT has no meaning; did you mean HUMANLOOP_PORT?" in log
    listed = run("keys", "list", env={"HUMANLOOP_DB": env["HUMANLOOP_DB"]}, cwd=tmp_path)
    assert listed.stdout.count("first start") == 1
