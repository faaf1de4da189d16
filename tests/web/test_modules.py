"""The page's modules for streams, in a browser: the decoder, and the client against scripted servers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import EmbeddedServer
from tests.web.browser import opened, root
from tests.wire.sse_cases import CASES

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

DECODE = """async ([streams, limit]) => {
  const { EventStreamDecoder } = await import("/page/sse.js");
  return streams.map((pieces) => {
    const decoder = new EventStreamDecoder(limit ?? undefined);
    const events = [];
    try {
      for (const piece of pieces) events.push(...decoder.feed(new Uint8Array(piece)));
    } catch (error) {
      return [...events, ...error.events, error.name];
    }
    return events;
  });
}"""


async def decode(browser: Browser, server: EmbeddedServer, streams: list[list[bytes]], limit: int | None = None) -> Any:
    """Return the events of each stream, which consists of pieces."""
    async with opened(browser, root(server)) as page:
        return await page.evaluate(DECODE, [[[[*piece] for piece in pieces] for pieces in streams], limit])


async def test_the_decoder_has_the_rules_of_the_standard_at_every_split(
    browser: Browser, server: EmbeddedServer
) -> None:
    """Each vector of the Python decoder as a whole, byte by byte, and split at every place."""
    streams: list[list[bytes]] = []
    expected: list[list[str]] = []
    for stream, events in CASES.values():
        splits = [[stream], [bytes([byte]) for byte in stream]]
        splits += [[stream[:place], b"", stream[place:]] for place in range(len(stream) + 1)]
        streams += splits
        expected += [[event.decode(errors="replace") for event in events]] * len(splits)
    assert await decode(browser, server, streams) == expected


async def test_an_event_is_returned_with_the_byte_that_completes_it(browser: Browser, server: EmbeddedServer) -> None:
    stream = b"data: a\r\rdata: b\r\n\r\n"
    prefixes = [[stream[:end]] for end in range(len(stream) + 1)]
    counts = [len(events) for events in await decode(browser, server, prefixes)]
    assert [end for end, (before, after) in enumerate(pairwise(counts), 1) if after > before] == [9, 19]


async def test_an_event_has_a_limit(browser: Browser, server: EmbeddedServer) -> None:
    streams = [
        [b"data: 1\n\n", b"data: " + b"x" * 100],
        [b"data: 1\n\ndata: " + b"x" * 100 + b"\n\n"],
        [b"data: 1\n\n" + b"data: x\n" * 20],
        [b"data: 1\n\n" * 20],
    ]
    results = await decode(browser, server, streams, 50)
    assert results[:3] == [["1", "EventTooLarge"]] * 3
    assert results[3] == ["1"] * 20
