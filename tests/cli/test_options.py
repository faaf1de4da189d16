"""Options that commands share: inputs, prompts, invalid values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command_line import Served, Terminal, completed, run

MOCK = ("complete", "--provider", "mock")


def test_a_piped_prompt_is_the_same_prompt(served: Served) -> None:
    """The line end that `echo` adds is not part of the prompt."""
    piped = completed(served, stdin="The sea is\n")
    assert piped["data"][0]["output"] == completed(served, "The sea is")["data"][0]["output"]


def test_inputs_fill_the_prompt(served: Served) -> None:
    response = completed(served, "Hello {{name}}, a={{a}}", "--input", "name=Ada", "--input", "a=b=c")
    assert response["provider_request"]["prompt"] == "Hello Ada, a=b=c"


def test_secrets_of_options_can_be_in_files(served: Served, tmp_path: Path) -> None:
    key, url = tmp_path / "key", tmp_path / "url"
    key.write_text(served.env["HUMANLOOP_API_KEY"] + "\n")
    url.write_text(str(tmp_path / "from_file.db"))
    base_url = {"HUMANLOOP_BASE_URL": served.base_url}
    done = run("projects", "--json", env={**base_url, "HUMANLOOP_API_KEY_FILE": str(key)})
    assert (done.returncode, done.stderr) == (0, "")
    twice = run("projects", env={**served.env, "HUMANLOOP_API_KEY_FILE": str(key)})
    assert (twice.returncode, "are both set" in twice.stderr) == (2, True)
    upgraded = run("db", "upgrade", env={"HUMANLOOP_DB_FILE": str(url)})
    assert upgraded.stdout.startswith(f"database   {tmp_path / 'from_file.db'}\n")
    option = str(tmp_path / "from_option.db")
    assert run("db", "upgrade", "--db", option, env={"HUMANLOOP_DB_FILE": "/missing"}).returncode == 0
    missing = run("db", "status", env={"HUMANLOOP_DB_FILE": "/missing"})
    assert missing.stderr == "humanloop-async: HUMANLOOP_DB_FILE: cannot read '/missing': No such file or directory\n"


def test_a_variable_without_an_input_is_named_before_anything_is_sent() -> None:
    done = run("complete", "--provider", "mock", "Say {{name}}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the variable {{name}}, which has no value; pass --input name=VALUE" in done.stderr


def test_without_inputs_braces_are_text(served: Served) -> None:
    """A piped file that contains braces is not a template."""
    response = completed(served, stdin="{% raw %} {{name}} {")
    assert response["provider_request"]["prompt"] == "{% raw %} {{name}} {"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the prompt is empty"),
        (["  "], "the prompt is empty"),
        (["x", "-n", "0"], "Must be >= 1"),
        (["x", "-n", "two"], "two"),
        (["x", "--nope"], "--nope"),
        (["x", "y"], "y"),
        (["x", "--input", "name"], "expected NAME=VALUE"),
        (["x", "--input", "a=1", "--input", "a=2"], "'a' is already set"),
        (["x", "--provider", "openai"], "pass one with --model"),
        (["x", "--base-url", "localhost"], "not a valid http(s) URL"),
        (["x", "--temperature", "-1"], "Must be >= 0"),
    ],
)
def test_invalid_usage_is_reported_in_one_or_two_lines(arguments: list[str], message: str) -> None:
    done = run("complete", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") <= 2


def test_bytes_that_are_not_utf8_are_invalid_usage() -> None:
    assert "not valid UTF-8" in run(*MOCK, stdin=b"\xff\xfe").stderr
    done = run(*MOCK, b"\xff")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_missing_prompt_in_a_terminal_is_invalid_usage() -> None:
    with Terminal(*MOCK) as terminal:
        assert terminal.exit_code() == 2
        assert "pass it as an argument or pipe it in" in terminal.shown
