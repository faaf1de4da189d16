"""CPU time of a process and its children."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import processes


@pytest.mark.skipif(not processes.PROC.exists(), reason="not applicable: needs /proc")
def test_the_time_of_children_counts() -> None:
    """The time of a child that has ended is counted with its parent."""
    busy = "import time\nwhile time.process_time() < 0.15: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.cpu_seconds(process.pid) >= 0.15
        process.communicate(b"\n")
