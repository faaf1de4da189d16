"""Errors of commands: their messages, and what to do about them."""

from __future__ import annotations

import re
import socket
import subprocess

import pytest

from tests.cli.command_line import COMMAND, Served, environment, run

MOCK = ("complete", "--provider", "mock")


def test_a_missing_input_is_named_in_the_error(served: Served) -> None:
    done = run(*MOCK, "{{one}} {{two}}", "--input", "one=1", env=served.env)
    assert (done.returncode, done.stdout) == (1, "")
    address = served.env["HUMANLOOP_BASE_URL"].split("/")[2]
    problem, advice = done.stderr.splitlines()
    assert re.fullmatch(
        rf"humanloop-async: 422 from {address}: Missing input variables: two \(request req_\w+\)", problem
    )
    assert advice == "Pass each of them with --input NAME=VALUE."


def test_an_error_of_the_server_is_shown_with_its_message(served: Served) -> None:
    unknown = run("complete", "x", "--provider", "nope", "--model", "m", env=served.env)
    assert unknown.returncode == 1
    assert "unknown provider 'nope'; this server has ai21, anthropic, " in unknown.stderr

    unauthorized = run(*MOCK, "x", "--api-key", "sekret-of-mine", env={**served.env})
    assert unauthorized.returncode == 1
    assert "401" in unauthorized.stderr
    assert "with --api-key or HUMANLOOP_API_KEY" in unauthorized.stderr
    assert "sekret-of-mine" not in unauthorized.stderr


def test_an_unreachable_server_is_reported_with_a_remedy(unused_url: str) -> None:
    done = run(*MOCK, "x", "--base-url", unused_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Start a server with `humanloop-async serve`" in done.stderr
    assert done.stderr.count("\n") == 2


def test_a_base_url_without_the_path_of_the_api_is_explained(served: Served) -> None:
    done = run(*MOCK, "x", "--base-url", served.base_url.removesuffix("/v4"), env=served.env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "append /v4 to HUMANLOOP_BASE_URL" in done.stderr.splitlines()[1]


def test_a_prompt_without_quotes_is_explained() -> None:
    done = run(*MOCK, "hello", "big", "world")
    assert (done.returncode, done.stdout) == (2, "")
    assert "too many arguments: big world; put quotes around a prompt or a name that contains spaces\n" in done.stderr


@pytest.fixture
def unused_url() -> str:
    """The URL of a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v4"


@pytest.mark.parametrize("module", ["cyclopts", "rich"])
def test_a_missing_cli_dependency_names_the_extra_to_install(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from humanloop_async.__main__ import main; main()"
    done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"humanloop-async: {module} is not installed; "
        "install the extra `cli` of this package (in its folder: pip install '.[cli]')\n"
    )


def test_a_missing_server_dependency_names_the_extra_to_install() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; from humanloop_async.__main__ import main; main()"
    for command in ("serve", "demo"):
        done = subprocess.run(
            [COMMAND[0], "-c", code, command], capture_output=True, text=True, env=environment(), check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "install the extra `server` of this package" in done.stderr
        assert done.stderr.count("\n") == 1
