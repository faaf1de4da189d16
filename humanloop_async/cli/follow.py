"""Read a streamed call and display its samples while they grow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..types import ChatResponse, CompletionResponse
from .display import Display, SampleProgress, TextDisplay
from .terminal import console, is_terminal, write_json

if TYPE_CHECKING:
    from ..client.core import OpeningStream
    from ..client.stream import ChatStream, CompletionStream

    Opening: TypeAlias = OpeningStream[ChatStream] | OpeningStream[CompletionStream]

AnyResponse: TypeAlias = ChatResponse | CompletionResponse


async def follow(
    opening: Opening, samples: Sequence[SampleProgress], document: Callable[[AnyResponse], object] | None = None
) -> AnyResponse:
    """Read a stream to its end and display it, also the part received before an error or Ctrl-C.

    Args:
        opening: The streamed call.
        samples: The samples of the call, by index.
        document: Builds a JSON document from the response received so far. If given, that document is written once,
            at the end, instead of the samples.

    Raises:
        ApiException: As for the call in the SDK.
    """
    with _choose_display(samples, quiet=document is not None) as display:
        async with opening as stream:
            try:
                async for chunk in stream:
                    samples[chunk.index].add(chunk.output, chunk.finish_reason)
                    display.update()
                return await stream.final()
            finally:
                if document is not None:
                    write_json(document(stream.partial))


def _choose_display(samples: Sequence[SampleProgress], *, quiet: bool) -> Display:
    """Return columns for several samples in a terminal that can move its cursor, else plain text."""
    if quiet:
        return Display()
    if len(samples) > 1 and is_terminal(sys.stdout):
        from .columns import ColumnsDisplay

        screen = console()
        if not screen.is_dumb_terminal:
            return ColumnsDisplay(samples, screen)
    return TextDisplay(samples)
