"""Standard input, output and error: terminals, printable text, piped prompts."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO, cast

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Remove control characters, except newline and tab: a model's output must not control the terminal."""
    return _CONTROL.sub("", text)


def prepare_streams() -> None:
    """Prevent errors of `print`: replace closed streams, and print characters that an encoding lacks as ``?``."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open until the process exits
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a standard stream is a terminal. Python sets a stream that is closed at its start to None."""
    return stream is not None and not stream.closed and stream.isatty()


def console(*, stderr: bool = False) -> Console:
    """Return a rich console that uses control sequences only in a terminal, whatever ``FORCE_COLOR`` is."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, force_terminal=is_terminal(stream), highlight=False, markup=False, emoji=False)


def print_status(text: str) -> None:
    """Print a line that is not part of the result, on standard error."""
    print(text, file=sys.stderr, flush=True)


def write_json(document: object) -> None:
    """Write an indented JSON document to standard output, as UTF-8 in every locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    sys.stdout.buffer.flush()


def piped_text() -> str | None:
    """Read all of standard input, without its last line ends; None if it is closed or a terminal.

    Raises:
        UnicodeDecodeError: The input is not UTF-8.
    """
    stdin = cast("TextIO | None", sys.stdin)
    if stdin is None or stdin.closed or stdin.isatty():
        return None
    return stdin.buffer.read().decode().rstrip("\r\n")
