"""Decompressing a body step by step, as the httpx transport does."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from humanloop_async.transport.decompression import _STEP, decompress

BODY = bytes(range(256)) * 40


def raw_deflate(data: bytes, flush: int = zlib.Z_FINISH) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(flush)


FORMATS = {
    "gzip": ("gzip", gzip.compress(BODY)),
    "a name in capitals": (" GZIP ", gzip.compress(BODY)),
    "an old name": ("x-gzip", gzip.compress(BODY)),
    "members": ("gzip", gzip.compress(BODY[:5000]) + gzip.compress(b"") + gzip.compress(BODY[5000:])),
    "deflate": ("deflate", zlib.compress(BODY)),
    "raw deflate": ("deflate", raw_deflate(BODY)),
    "stored deflate": ("deflate", raw_deflate(BODY[:0], zlib.Z_FULL_FLUSH) + raw_deflate(BODY)),
}


async def pieces(chunks: Iterable[bytes], encoding: str) -> list[bytes]:
    async def body() -> AsyncIterator[bytes]:
        for data in chunks:
            yield data

    return [piece async for piece in decompress(body(), encoding)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_every_format_in_reads_of_any_size(name: str, size: int) -> None:
    encoding, packed = FORMATS[name]
    reads = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert b"".join(await pieces([b"", *reads, b""], encoding)) == BODY


@pytest.mark.parametrize("size", [0, 1, _STEP - 1, _STEP, _STEP + 1, 2 * _STEP, 400 * _STEP])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
async def test_no_step_exceeds_its_limit(pack: Callable[[bytes], bytes], size: int) -> None:
    found = await pieces([pack(bytes(size))], "gzip" if pack is gzip.compress else "deflate")
    assert (b"".join(found), max(map(len, found), default=0)) == (bytes(size), min(size, _STEP))


async def test_what_was_flushed_is_returned_at_once() -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    tokens = [b"data: %d\n\n" % number for number in range(20)]
    reads = [packer.compress(token) + packer.flush(zlib.Z_SYNC_FLUSH) for token in tokens]
    assert await pieces([*reads, packer.flush()], "gzip") == tokens


@pytest.mark.parametrize("encoding", ["", "identity", "br", "zstd", "gzip, gzip", "deflate, gzip"])
async def test_other_encodings_are_left_as_they_are(encoding: str) -> None:
    packed = gzip.compress(gzip.compress(BODY))
    assert await pieces([packed[:10], packed[10:]], encoding) == [packed[:10], packed[10:]]


async def test_an_empty_body_is_complete() -> None:
    assert await pieces([], "gzip") == await pieces([b""], "deflate") == []


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate"])
async def test_a_body_that_is_cut_off_is_an_error(name: str) -> None:
    encoding, packed = FORMATS[name]
    for length in range(1, len(packed)):
        with pytest.raises(zlib.error):
            await pieces([packed[:length]], encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_compressed_is_an_error(encoding: str) -> None:
    with pytest.raises(zlib.error):
        await pieces([b"not compressed at all"], encoding)
