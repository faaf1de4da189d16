"""The samples of a streamed call while they grow, and their display as plain text."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from .terminal import console, is_terminal, printable

if TYPE_CHECKING:
    from rich.status import Status


@dataclass(slots=True)
class SampleProgress:
    """The output of one sample received so far.

    Attributes:
        index: Index of the sample.
        pieces: The received text, in printable form.
        finish_reason: None until the sample has finished.
        first: Time of the first text, in seconds of `time.monotonic`; None before it.
        last: Time of the last chunk, in seconds of `time.monotonic`; None before the first chunk.
    """

    index: int
    pieces: list[str] = field(default_factory=list[str])
    finish_reason: str | None = None
    first: float | None = None
    last: float | None = None

    @property
    def text(self) -> str:
        """All text received so far."""
        return "".join(self.pieces)

    def add(self, output: str, finish_reason: str | None) -> None:
        """Add the output of a chunk."""
        now = time.monotonic()
        piece = printable(output if self.pieces else output.lstrip())
        if piece:
            self.pieces.append(piece)
            self.first = self.first or now
        self.last = now
        self.finish_reason = finish_reason or self.finish_reason


class Display:
    """Shows samples inside its `with` block, and the rest of their text at its end. This base class shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        """Show chunks that were added to the samples."""


class TextDisplay(Display):
    """Prints plain text, one sample after the other. A terminal shows a status line until the first token."""

    def __init__(self, samples: Sequence[SampleProgress]) -> None:
        self._samples = samples
        self._current = 0  # index of the sample that is being printed
        self._written = 0  # number of its pieces that are printed
        self._has_heading = len(samples) == 1  # a single sample needs none
        self._waiting: Status | None = None

    def __enter__(self) -> Self:
        if is_terminal(sys.stdout) and is_terminal(sys.stderr):
            self._waiting = console(stderr=True).status("waiting for the first token", spinner_style="dim")
            self._waiting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_waiting()
        while any(sample.pieces for sample in self._samples[self._current :]):
            self._write(finished=True)
        sys.stdout.flush()

    def update(self) -> None:
        """Print what was added to the current sample, and to the following ones once it has finished."""
        while self._current < len(self._samples):
            finished = self._samples[self._current].finish_reason is not None
            self._write(finished=finished)
            if not finished:
                break
        sys.stdout.flush()

    def _write(self, *, finished: bool) -> None:
        """Print the new text of the current sample; if it has finished, end its line and select the next sample."""
        sample = self._samples[self._current]
        new = "".join(sample.pieces[self._written :])
        self._written = len(sample.pieces)
        if new or finished:
            self._stop_waiting()
            if not self._has_heading:
                sys.stdout.write(("\n" if self._current else "") + f"--- sample {sample.index} ---\n")
                self._has_heading = True
            sys.stdout.write(new)
        if finished:
            if not (sample.pieces and sample.pieces[-1].endswith("\n")):
                sys.stdout.write("\n")
            self._current += 1
            self._written = 0
            self._has_heading = False

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
