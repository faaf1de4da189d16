"""Display samples side by side in a terminal, each in a box that grows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from math import ceil
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .display import Display, SampleProgress

MIN_WIDTH = 26
"""Minimum width of a box, in cells. A terminal that is too narrow for two boxes stacks the samples."""
MIN_HEIGHT = 4
"""Minimum height of a box with its border, in lines."""
_FRAMES_PER_SECOND = 12
_TAIL = 4000
"""Maximum text that is laid out per frame, in characters; more than fits on any screen."""


class ColumnsDisplay(Display):
    """Redraws the boxes while samples grow, each with the end of its text; prints the whole text at the end."""

    def __init__(self, samples: Sequence[SampleProgress], console: Console) -> None:
        self._samples = samples
        self._console = console
        self._live = Live(
            _Growing(samples), console=console, transient=True, refresh_per_second=_FRAMES_PER_SECOND
        )  # redraws from a thread, so `update` does nothing

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if any(sample.last is not None for sample in self._samples):
            self._console.print(_boxes(self._samples, self._console, self._console.width))


class _Growing:
    """The current state of the samples, as much of it as fits on the screen."""

    def __init__(self, samples: Sequence[SampleProgress]) -> None:
        self._samples = samples
        self._started = time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        rows = ceil(len(self._samples) / _per_row(len(self._samples), options.max_width))
        room = console.height - 3  # two lines follow the boxes, then a line break
        shown_rows = max(1, min(rows, room // MIN_HEIGHT))
        shown = self._samples[: shown_rows * _per_row(len(self._samples), options.max_width)]
        lines = max(1, room // shown_rows - 2)
        yield _boxes(shown, console, options.max_width, lines, f"waiting {time.monotonic() - self._started:.1f} s")
        # An empty line for the cursor: a terminal that echoes ^C there must not move the boxes.
        hidden = len(self._samples) - len(shown)
        yield Text(f"{hidden} more samples do not fit on the screen\n" if hidden else "", style="dim", no_wrap=True)


def _per_row(count: int, width: int) -> int:
    return max(1, min(count, width // MIN_WIDTH))


def _boxes(
    samples: Sequence[SampleProgress],
    console: Console,
    width: int,
    lines: int | None = None,
    waiting: str | None = None,
) -> RenderableType:
    """Return rows of boxes of equal height.

    Args:
        samples: The samples to show.
        console: Console to measure text with.
        width: Width of a row, in cells.
        lines: Maximum number of text lines per box, None for no limit.
        waiting: Text of samples that have no output yet.
    """
    per_row = _per_row(len(samples), width)
    inside = max(1, width // per_row - 4)  # without border and padding
    rows: list[RenderableType] = []
    for start in range(0, len(samples), per_row):
        row = Table.grid(expand=True)
        for _ in range(per_row):
            row.add_column(ratio=1)
        texts = [_text(sample, console, inside, lines, waiting) for sample in samples[start : start + per_row]]
        height = max(text.plain.count("\n") for text in texts) + 3
        row.add_row(*map(partial(_box, height=height, growing=waiting is not None), samples[start:], texts))
        rows.append(row)
    return Group(*rows)


def _text(sample: SampleProgress, console: Console, width: int, lines: int | None, waiting: str | None) -> Text:
    if waiting is not None and not sample.pieces and sample.finish_reason is None:
        return Text(waiting, style="dim")
    text = sample.text
    if lines is not None:
        # Starts at a multiple of `_TAIL`, so that the lines of a long text do not move with every token.
        text = text[max(0, (len(text) - _TAIL) // _TAIL * _TAIL) :]
    wrapped = Text(text).wrap(console, width)
    return Text("\n").join(wrapped if lines is None else wrapped[-lines:])


def _box(sample: SampleProgress, text: Text, *, height: int, growing: bool) -> Panel:
    if sample.finish_reason is not None:
        state, style = sample.finish_reason, "green"
    else:
        state, style = "" if growing else "unfinished", "cyan" if sample.pieces else "dim"
    return Panel(
        text,
        title=Text(f"sample {sample.index}"),
        title_align="left",
        subtitle=Text(state) if state else None,
        subtitle_align="right",
        border_style=style,
        height=height,
    )
