"""Why reading a token need not cost two page faults.

asyncio reads a socket into a fresh buffer of 256 KiB, whatever comes. glibc serves a block of that size by ``mmap``
and gives it back by ``munmap``, page faults included: about 20 us for every read, many times what
decoding one event takes. glibc stops doing so for sizes up to that of a mapped block that it has seen freed once
(``M_MMAP_THRESHOLD`` is dynamic, see mallopt(3)). Buffers that were read into are shrunk first and do not count.
Programs that import large libraries get there by accident, others with the first read that finds nothing or the first
connection that ends; a lean one must free one such block on purpose.

The block is never touched, so no memory is used; the threshold moves from 128 KiB to 1 MiB. Other allocators take
it as the short-lived allocation that it is. ``benchmarks/`` shows lock step before and after.
"""

from __future__ import annotations

_BLOCK = 1 << 20
"""Bytes; well above the 256 KiB that asyncio asks for."""

_settled = False


def settle() -> None:
    """Let glibc keep buffers of the size that asyncio reads with. Once per process."""
    global _settled
    if not _settled:
        _settled = True
        bytes(_BLOCK)
