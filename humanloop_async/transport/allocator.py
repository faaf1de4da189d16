"""Keep glibc's malloc from mapping and unmapping memory on every socket read.

asyncio reads a socket into a new buffer of 256 KiB, however little arrives. glibc serves a block of that size with
``mmap`` and releases it with ``munmap``, page faults included: about 20 us for every read, many times the cost of
decoding one event. glibc stops doing so for blocks up to the size of the largest mapped block that has been freed once
(``M_MMAP_THRESHOLD`` is dynamic, see mallopt(3)). Read buffers do not count, because they are shrunk before they are
freed. Large programs usually cross the threshold by accident; a small one has to free such a block on purpose.

The block is never touched, so it takes no memory; the threshold rises from 128 KiB to 1 MiB. With other allocators this
is one short-lived allocation without effect. ``python -m benchmarks run allocator`` measures the difference.
"""

from __future__ import annotations

_BLOCK_SIZE = 1 << 20
"""Bytes; above the 256 KiB that asyncio allocates for a read."""

_raised = False


def raise_mmap_threshold() -> None:
    """Free one large block, so that glibc reuses read buffers. Acts on the first call in a process only."""
    global _raised
    if not _raised:
        _raised = True
        bytes(_BLOCK_SIZE)
