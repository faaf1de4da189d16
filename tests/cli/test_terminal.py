"""Printable text, closed pipes, and encodings."""

from __future__ import annotations

import subprocess

from humanloop_async.cli.terminal import printable
from tests.cli.command_line import COMMAND, Served, environment, run, running

MOCK = ("complete", "--provider", "mock")


def test_printable_removes_control_characters() -> None:
    assert printable("a\x1b[2Jb\x07c\x9bd\re\nf\tg é🙂") == "a[2Jbcde\nf\tg é🙂"


def test_a_closed_pipe_ends_the_command_quietly(slow: Served) -> None:
    with running(*MOCK, "The sea is", env=slow.env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 1


def test_a_closed_standard_output_is_accepted(served: Served) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, *MOCK, "x"],
        stderr=subprocess.PIPE,
        env=environment(served.env),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_characters_that_the_encoding_lacks_become_question_marks(served: Served) -> None:
    plain = run(*MOCK, "The sea is", "-n", "3", env=served.env).stdout
    ascii_only = run(*MOCK, "The sea is", "-n", "3", env={**served.env, "PYTHONIOENCODING": "ascii:strict"})
    assert not plain.isascii()
    assert (ascii_only.returncode, ascii_only.stderr) == (0, "")
    assert ascii_only.stdout == "".join(char if char.isascii() else "?" for char in plain)
