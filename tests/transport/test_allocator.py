"""Reads of a socket cause no page faults after `raise_mmap_threshold`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from humanloop_async import AiohttpTransport, HttpxTransport
from humanloop_async.transport import allocator

READS = """
import os, resource
receiving, sending = os.pipe()
def page_faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        os.write(sending, b"token")
        os.read(receiving, 256 * 1024)  # allocates this much, as asyncio does for a socket
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
page_faults()
from humanloop_async.transport.allocator import raise_mmap_threshold
before = page_faults()
raise_mmap_threshold()
page_faults()
print(before, page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this threshold")
def test_reads_cause_no_page_faults() -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_"))}
    done = subprocess.run(
        [sys.executable, "-c", READS], env=settings, check=True, capture_output=True, text=True, timeout=30
    )
    before, after = map(int, done.stdout.split())
    assert after < 20
    if before < 100:
        pytest.skip("not applicable: this interpreter had already raised the threshold when it started")


@pytest.mark.parametrize("transport", [AiohttpTransport, HttpxTransport])
def test_each_transport_raises_the_threshold(
    transport: type[AiohttpTransport | HttpxTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocator, "_raised", False)
    transport()
    assert allocator._raised
