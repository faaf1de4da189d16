"""Decompress a response body in bounded steps.

httpx decompresses what it has read in one step, in which 64 KB can become 64 MB (a decompression bomb).
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, AsyncIterator

ENCODINGS = "gzip, deflate"
"""The value of ``Accept-Encoding``."""

_STEP = 256 * 1024
"""Most bytes of one step."""

_EITHER, _RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
"""`wbits` for gzip or zlib, as the first bytes say, and for deflate data without a header."""


def decompress(chunks: AsyncIterable[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Return the decompressed chunks of a body; the chunks as they are if the encoding is not one of `ENCODINGS`.

    A body that is compressed twice remains so: the inner data can be a bomb, too.

    Args:
        chunks: The body as it was received.
        encoding: The value of ``Content-Encoding`` (RFC 9110, section 8.4.1).

    Raises:
        zlib.error: When iterated, if the body is not compressed as its encoding says, or incomplete.
    """
    encoding = encoding.strip().lower()
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return _inflated(chunks, may_be_raw=encoding == "deflate")
    return aiter(chunks)


async def _inflated(chunks: AsyncIterable[bytes], *, may_be_raw: bool) -> AsyncIterator[bytes]:
    inflater = zlib.decompressobj(_EITHER)
    begun = False
    async for data in chunks:
        # Servers send deflate with or without zlib's header, whose method is always 8.
        if may_be_raw and not begun and data[:1] and data[0] & 0x0F != 8:
            inflater = zlib.decompressobj(_RAW)
        begun = begun or bool(data)
        while True:
            piece = inflater.decompress(data, _STEP)
            if piece:
                yield piece
            if inflater.eof and (data := inflater.unused_data):  # gzip may have several members
                inflater = zlib.decompressobj(_EITHER)
            elif len(piece) == _STEP:
                data = inflater.unconsumed_tail
            else:
                break
    if begun and not inflater.eof:
        raise zlib.error("the compressed data is incomplete")
