"""Run a command with the process id 1, as in a container."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest


def as_first() -> list[str]:
    """Return the command that runs another one as the first process of a new namespace; skip if that is impossible."""
    command = ["unshare", "--pid", "--fork", "--kill-child"]
    try:
        possible = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("not applicable: this system allows no new process namespaces")
    return command


def child_of(pid: int) -> int:
    """Wait for the only child of a process, and return its id, as this process sees it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not (child := children.read_text()):
        time.sleep(0.01)
    return int(child)
