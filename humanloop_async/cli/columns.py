"""Samples side by side in a terminal, each growing in a box of its own."""

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

from .samples import Display, Sample

MIN_WIDTH = 26
"""Narrowest box, in cells; a terminal with no room for two of them stacks the samples."""
MIN_HEIGHT = 4
"""Lowest box, its border included, in lines."""
_FRAMES_PER_SECOND = 12
_TAIL = 4000
"""How much of a long text is laid out per frame, in characters; more than fits a box of any screen."""


class ColumnsDisplay(Display):
    """Boxes that are redrawn while samples grow and show the ends of texts that do not fit; then all of it, once."""

    def __init__(self, samples: Sequence[Sample], console: Console) -> None:
        self._samples = samples
        self._console = console
        self._live = Live(
            _Growing(samples), console=console, transient=True, refresh_per_second=_FRAMES_PER_SECOND
        )  # redraws by itself, hence no `update`

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if any(sample.last is not None for sample in self._samples):
            self._console.print(_boxes(self._samples, self._console, self._console.width))


class _Growing:
    """What fits the screen of the samples, as they are at this moment."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._since = time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        rows = ceil(len(self._samples) / _per_row(len(self._samples), options.max_width))
        room = console.height - 3  # two lines follow the boxes, and at the end a line break
        shown_rows = max(1, min(rows, room // MIN_HEIGHT))
        display_url = self._samples[: shown_rows * _per_row(len(self._samples), options.max_width)]
        lines = max(1, room // shown_rows - 2)
        yield _boxes(display_url, console, options.max_width, lines, f"waiting {time.monotonic() - self._since:.1f} s")
        # A line of its own for the cursor: a terminal that echoes ^C there must not push the boxes out of place.
        hidden = len(self._samples) - len(display_url)
        yield Text(f"and {hidden} more, with no room here\n" if hidden else "", style="dim", no_wrap=True)


def _per_row(count: int, width: int) -> int:
    return max(1, min(count, width // MIN_WIDTH))


def _boxes(
    samples: Sequence[Sample], console: Console, width: int, lines: int | None = None, waiting: str | None = None
) -> RenderableType:
    """Rows of boxes, those of a row equally high. `lines` bounds the text of each; `waiting` stands for none yet."""
    per_row = _per_row(len(samples), width)
    inside = max(1, width // per_row - 4)  # without border and padding
    rows: list[RenderableType] = []
    for at in range(0, len(samples), per_row):
        row = Table.grid(expand=True)
        for _ in range(per_row):
            row.add_column(ratio=1)
        texts = [_text(sample, console, inside, lines, waiting) for sample in samples[at : at + per_row]]
        height = max(text.plain.count("\n") for text in texts) + 3
        row.add_row(*map(partial(_box, height=height, growing=waiting is not None), samples[at:], texts))
        rows.append(row)
    return Group(*rows)


def _text(sample: Sample, console: Console, width: int, lines: int | None, waiting: str | None) -> Text:
    if waiting is not None and not sample.pieces and sample.finish_reason is None:
        return Text(waiting, style="dim")
    text = sample.text
    if lines is not None:
        # Begins at a multiple, so that the lines of a long text do not break anew with every token.
        text = text[max(0, (len(text) - _TAIL) // _TAIL * _TAIL) :]
    wrapped = Text(text).wrap(console, width)
    return Text("\n").join(wrapped if lines is None else wrapped[-lines:])


def _box(sample: Sample, text: Text, *, height: int, growing: bool) -> Panel:
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
