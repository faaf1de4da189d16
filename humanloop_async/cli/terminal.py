"""Standard input, output and error: what is a terminal, what may be printed, where prompts come from."""

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
    """The text without control characters other than newline and tab: a model's words must not steer a terminal."""
    return _CONTROL.sub("", text)


def prepare_streams() -> None:
    """Print what the terminal's encoding lacks as ``?``, and nothing to a stream that is closed, rather than fail."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process runs
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; one that was closed at start is None."""
    return stream is not None and not stream.closed and stream.isatty()


def console(*, stderr: bool = False) -> Console:
    """A rich console that colours and moves only in a terminal, whatever ``FORCE_COLOR`` says."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, force_terminal=is_terminal(stream), highlight=False, markup=False, emoji=False)


def note(text: str) -> None:
    """A line that is not part of the result, on standard error."""
    print(text, file=sys.stderr, flush=True)


def write_json(document: object) -> None:
    """One JSON document, indented, as UTF-8 whatever the locale says."""
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    sys.stdout.buffer.flush()


def piped_text() -> str | None:
    """All of standard input without its last line end; None when there is none, or it is a terminal.

    Raises:
        UnicodeDecodeError: It is not UTF-8.
    """
    stdin = cast("TextIO | None", sys.stdin)
    if stdin is None or stdin.closed or stdin.isatty():
        return None
    return stdin.buffer.read().decode().rstrip("\r\n")
