"""``complete``: plain, piped, JSON, several samples, refusals, interruption."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from humanloop_async.cli.samples import Sample, TextDisplay
from humanloop_async.cli.terminal import printable
from tests.cli.command_line import (
    COMMAND,
    Served,
    Terminal,
    environment,
    interrupted,
    read_until,
    rest,
    run,
    running,
    serving,
)

MOCK = ("complete", "--provider", "mock")


def completed(served: Served, *arguments: str, stdin: str = "") -> dict[str, Any]:
    done = run(*MOCK, "--json", *arguments, stdin=stdin, env=served.env)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_plain_text_is_the_answer_and_nothing_else(served: Served) -> None:
    done = run(*MOCK, "The sea is", env={**served.env, "FORCE_COLOR": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == completed(served, "The sea is")["data"][0]["output"] + "\n"
    assert "\x1b" not in done.stdout


def test_a_piped_prompt_is_the_same_prompt(served: Served) -> None:
    """The line end that `echo` adds is not part of it."""
    piped = completed(served, stdin="The sea is\n")
    assert piped["data"][0]["output"] == completed(served, "The sea is")["data"][0]["output"]


def test_several_samples_come_one_after_the_other_with_headings(served: Served) -> None:
    done = run(*MOCK, "The sea is", "-n", "3", env=served.env)
    texts = [data["output"] for data in completed(served, "The sea is", "-n", "3")["data"]]
    assert len(set(texts)) == 3
    assert done.stdout == "\n".join(f"--- sample {index} ---\n{text}\n" for index, text in enumerate(texts))


def test_json_is_one_document_of_the_final_response(served: Served) -> None:
    response = completed(served, "x", "-n", "2", "--max-tokens", "4", "--project", "from the shell", "--seed", "7")
    assert [data["finish_reason"] for data in response["data"]] == ["length", "length"]
    assert response["usage"]["generation_tokens"] == 8
    assert response["project_id"].startswith("pr_")
    assert response["provider_request"]["seed"] == 7


def test_inputs_fill_the_prompt(served: Served) -> None:
    response = completed(served, "Hello {{name}}, a={{a}}", "--input", "name=Ada", "--input", "a=b=c")
    assert response["provider_request"]["prompt"] == "Hello Ada, a=b=c"


def test_without_inputs_braces_are_text(served: Served) -> None:
    """A piped file that happens to hold braces is no template."""
    response = completed(served, stdin="{% raw %} {{name}} {")
    assert response["provider_request"]["prompt"] == "{% raw %} {{name}} {"


def test_a_missing_input_is_named_with_what_to_do(served: Served) -> None:
    done = run(*MOCK, "{{one}} {{two}}", "--input", "one=1", env=served.env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "humanloop-async: 422 from Humanloop: Missing input variables: two\n"
        "Give each of them with --input NAME=VALUE.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the prompt is empty"),
        (["  "], "the prompt is empty"),
        (["x", "-n", "0"], "Must be >= 1"),
        (["x", "-n", "two"], "two"),
        (["x", "--nope"], "--nope"),
        (["x", "y"], "y"),
        (["x", "--input", "name"], "expected NAME=VALUE"),
        (["x", "--input", "a=1", "--input", "a=2"], "'a' is given twice"),
        (["x", "--provider", "openai"], "name one with --model"),
        (["x", "--base-url", "localhost"], "not an http(s) URL"),
        (["x", "--temperature", "-1"], "Must be >= 0"),
    ],
)
def test_wrong_usage_is_told_in_a_line_or_two(arguments: list[str], words: str) -> None:
    done = run("complete", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") <= 2


def test_bytes_that_are_no_text_are_wrong_usage() -> None:
    assert "not UTF-8" in run(*MOCK, stdin=b"\xff\xfe").stderr
    done = run(*MOCK, b"\xff")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_no_prompt_in_a_terminal_is_wrong_usage() -> None:
    with Terminal(*MOCK) as terminal:
        assert terminal.exit_code() == 2
        assert "give a prompt as an argument, or pipe one in" in terminal.shown


def test_the_servers_refusals_are_told_in_its_words(served: Served) -> None:
    unknown = run("complete", "x", "--provider", "nope", "--model", "m", env=served.env)
    assert unknown.returncode == 1
    assert "unknown provider 'nope'; this server has local, mock, openai" in unknown.stderr

    locked_out = run(*MOCK, "x", "--api-key", "sekret-of-mine", env={**served.env})
    assert locked_out.returncode == 1
    assert "401" in locked_out.stderr
    assert "HUMANLOOP_API_KEY or with --api-key" in locked_out.stderr
    assert "sekret-of-mine" not in locked_out.stderr


def test_with_no_server_it_says_how_to_start_one(unused_url: str) -> None:
    done = run(*MOCK, "x", "--base-url", unused_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Start a server with `humanloop-async serve`" in done.stderr
    assert done.stderr.count("\n") == 2


@pytest.fixture
def unused_url() -> str:
    """An address on which nothing listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v4"


def test_ctrl_c_keeps_what_has_come(slow: Served) -> None:
    with running(*MOCK, "The sea is", env=slow.env) as process:
        out, err = interrupted(process, " ")
    assert (process.returncode, err) == (130, "")
    whole = run(*MOCK, "The sea is", env=slow.env).stdout
    assert out.endswith("\n")
    assert whole.startswith(out.rstrip("\n"))
    assert len(out) < len(whole)


def test_ctrl_c_keeps_what_has_come_of_every_sample_as_json(slow: Served) -> None:
    with running(*MOCK, "The sea is", "-n", "2", "--json", env=slow.env) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        process.send_signal(signal.SIGINT)
        out, err = rest(process)
    assert (process.returncode, err) == (130, "")
    partial = json.loads(out)
    assert [data["finish_reason"] for data in partial["data"]] == [None, None]
    assert all(data["output"] for data in partial["data"])


@pytest.mark.parametrize("samples", ["1", "2"])
def test_a_server_that_dies_midway_leaves_the_beginning_and_an_error(tmp_path: Path, samples: str) -> None:
    with (
        serving(tmp_path, "--mock-pace", "8") as server,
        running(*MOCK, "The sea is", "-n", samples, env=server.env) as process,
    ):
        seen = "".join(read_until(process, " ") for _ in range(8))
        server.process.kill()
        out, err = rest(process)
    assert process.returncode == 1
    assert (seen + out).endswith("\n")
    if samples == "2":
        assert "\n--- sample 1 ---\n" in out
        assert out.split("---\n")[-1].strip()
    assert err.startswith("humanloop-async: ")
    assert err.count("\n") <= 2
    assert "Start a server" not in err


def test_a_reader_that_leaves_ends_it_quietly(slow: Served) -> None:
    with running(*MOCK, "The sea is", env=slow.env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 1


def test_a_closed_standard_output_is_no_mistake(served: Served) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, *MOCK, "x"],
        stderr=subprocess.PIPE,
        env=environment(served.env),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_text_that_the_encoding_lacks_does_not_fail(served: Served) -> None:
    plain = run(*MOCK, "The sea is", "-n", "3", env=served.env).stdout
    ascii_only = run(*MOCK, "The sea is", "-n", "3", env={**served.env, "PYTHONIOENCODING": "ascii:strict"})
    assert not plain.isascii()
    assert (ascii_only.returncode, ascii_only.stderr) == (0, "")
    assert ascii_only.stdout == "".join(char if char.isascii() else "?" for char in plain)


def test_in_a_terminal_samples_stand_side_by_side(slow: Served) -> None:
    with Terminal(*MOCK, "The sea is", "-n", "2", "--max-tokens", "8", env=slow.env) as terminal:
        assert terminal.exit_code() == 0
        assert any("sample 0" in line and "sample 1" in line for line in terminal.shown.splitlines())
        assert " length " in terminal.shown
        assert "\x1b[?25h" in terminal.raw  # the cursor is shown again


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_text(served: Served) -> None:
    with Terminal(*MOCK, "The sea is", "-n", "2", env={**served.env, "TERM": "dumb"}) as terminal:
        assert terminal.exit_code() == 0
        assert "--- sample 1 ---" in terminal.shown
        assert "\x1b" not in terminal.raw


def test_the_models_words_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07c\x9bd\re\nf\tg é🙂") == "a[2Jbcde\nf\tg é🙂"


@pytest.mark.parametrize("module", ["cyclopts", "rich"])
def test_without_the_extra_it_says_what_to_install(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from humanloop_async.__main__ import main; main()"
    done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"humanloop-async: {module} is not installed; run: pip install 'humanloop_async[cli]'\n"


def test_serving_without_its_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; from humanloop_async.__main__ import main; main()"
    for command in ("serve", "demo"):
        done = subprocess.run(
            [COMMAND[0], "-c", code, command], capture_output=True, text=True, env=environment(), check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "pip install 'humanloop_async[server]'\n" in done.stderr
        assert done.stderr.count("\n") == 1


def test_an_answer_without_words_is_an_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    samples = [Sample(0), Sample(1)]
    with TextDisplay(samples) as display:
        for sample, text in zip(samples, ("", "x\n"), strict=True):
            sample.add(text, "stop")
            display.update()
    assert capsys.readouterr().out == "--- sample 0 ---\n\n\n--- sample 1 ---\nx\n"
