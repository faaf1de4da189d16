"""The samples of a streamed call as they grow, and the ways of showing them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias

from ..types import ChatResponse, CompletionResponse
from .terminal import console, is_terminal, printable, write_json

if TYPE_CHECKING:
    from rich.status import Status

    from ..client.core import OpeningStream
    from ..client.stream import ChatStream, CompletionStream

    Opening: TypeAlias = OpeningStream[ChatStream] | OpeningStream[CompletionStream]

AnyResponse: TypeAlias = ChatResponse | CompletionResponse


@dataclass(slots=True)
class Sample:
    """One sample as far as it has come.

    Attributes:
        pieces: Its text as it came, fit to be printed.
        finish_reason: None until it has ended.
        first: When its first text came, on the monotonic clock in seconds; None until then.
        last: When its last chunk came, likewise.
    """

    index: int
    pieces: list[str] = field(default_factory=list[str])
    finish_reason: str | None = None
    first: float | None = None
    last: float | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def add(self, output: str, finish_reason: str | None) -> None:
        now = time.monotonic()
        piece = printable(output if self.pieces else output.lstrip())
        if piece:
            self.pieces.append(piece)
            self.first = self.first or now
        self.last = now
        self.finish_reason = finish_reason or self.finish_reason


class Display:
    """Shows samples while its block runs; leaving the block shows all that has come. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        """Something has come."""


class TextDisplay(Display):
    """Plain text, sample after sample, each as it grows. In a terminal a line tells that the first token is awaited."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._at = 0  # the sample that is being written,
        self._written = 0  # how many of its pieces have been,
        self._begun = len(samples) == 1  # and whether it has its heading, which a single one does not need
        self._waiting: Status | None = None

    def __enter__(self) -> Self:
        if is_terminal(sys.stdout) and is_terminal(sys.stderr):
            self._waiting = console(stderr=True).status("waiting for the first token", spinner_style="dim")
            self._waiting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_waiting()
        while any(sample.pieces for sample in self._samples[self._at :]):
            self._write(ended=True)
        sys.stdout.flush()

    def update(self) -> None:
        while self._at < len(self._samples):
            ended = self._samples[self._at].finish_reason is not None
            self._write(ended=ended)
            if not ended:
                break
        sys.stdout.flush()

    def _write(self, *, ended: bool) -> None:
        """Write what is new of the current sample; when it has ended, end its line and go on to the next one."""
        sample = self._samples[self._at]
        new = "".join(sample.pieces[self._written :])
        self._written = len(sample.pieces)
        if new or ended:
            self._stop_waiting()
            if not self._begun:
                sys.stdout.write(("\n" if self._at else "") + f"--- sample {sample.index} ---\n")
                self._begun = True
            sys.stdout.write(new)
        if ended:
            if not (sample.pieces and sample.pieces[-1].endswith("\n")):
                sys.stdout.write("\n")
            self._at += 1
            self._written = 0
            self._begun = False

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None


async def follow(
    opening: Opening, samples: Sequence[Sample], document: Callable[[AnyResponse], object] | None = None
) -> AnyResponse:
    """Read a stream to its end while showing it.

    What has come is display_url whatever happens: an error, or Ctrl-C.

    Args:
        document: Makes the JSON document to write instead, once, of the response as far as it has come.

    Raises:
        ApiException: As the SDK does.
    """
    with _display(samples, quiet=document is not None) as display:
        async with opening as stream:
            try:
                async for chunk in stream:
                    samples[chunk.index].add(chunk.output, chunk.finish_reason)
                    display.update()
                return await stream.final()
            finally:
                if document is not None:
                    write_json(document(stream.partial))


def _display(samples: Sequence[Sample], *, quiet: bool) -> Display:
    """Columns for several samples in a terminal that can move its cursor, else plain text."""
    if quiet:
        return Display()
    if len(samples) > 1 and is_terminal(sys.stdout):
        from .columns import ColumnsDisplay

        screen = console()
        if not screen.is_dumb_terminal:
            return ColumnsDisplay(samples, screen)
    return TextDisplay(samples)
