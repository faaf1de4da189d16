"""CPU time and core binding of a process and its children, from `/proc` (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """List a process and its living descendants."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir(PROC)):
        with suppress(OSError):
            parents[int(name)] = int(_stat(int(name))[1])
    pids = [root]
    for pid in pids:  # grows during the loop
        pids += [child for child, parent in parents.items() if parent == pid]
    return pids


def cpu_seconds(root: int) -> float:
    """Return user and system time in seconds: of the living processes, and of the children that `root` waited for.

    The kernel counts exactly but reports hundredths of a second.
    """
    ticks = 0
    for pid in tree(root):
        with suppress(OSError):
            user, system, waited_user, waited_system = map(int, _stat(pid)[11:15])
            ticks += user + system + (waited_user + waited_system if pid == root else 0)
    return ticks / os.sysconf("SC_CLK_TCK")


def bind(root: int, cores: Iterable[int]) -> None:
    """Bind every thread of a process and its descendants to cores; threads and processes started later inherit it."""
    chosen = set(cores)
    for pid in tree(root):
        for thread in os.listdir(PROC / str(pid) / "task"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), chosen)


def _stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name, which may contain blanks: state, parent, ..."""
    return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
