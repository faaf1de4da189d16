"""Processes seen from outside: what a process and its children have used, and the cores they may run on (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """A process and all that came from it and are still there."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir(PROC)):
        with suppress(OSError):
            parents[int(name)] = int(_stat(int(name))[1])
    found = [root]
    for pid in found:  # grows meanwhile
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of a tree, in seconds: of those that live, and of those that its root has outlived.

    The kernel counts exactly and answers in hundredths of a second.
    """
    ticks = 0
    for pid in tree(root):
        with suppress(OSError):
            user, system, waited_user, waited_system = map(int, _stat(pid)[11:15])
            ticks += user + system + (waited_user + waited_system if pid == root else 0)
    return ticks / os.sysconf("SC_CLK_TCK")


def bind(root: int, cores: Iterable[int]) -> None:
    """Bind a tree to cores, with every thread it has; those that it starts later inherit that."""
    chosen = set(cores)
    for pid in tree(root):
        for thread in os.listdir(PROC / str(pid) / "task"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), chosen)


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` behind the name, which may hold blanks and brackets: state, parent, ..."""
    return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
