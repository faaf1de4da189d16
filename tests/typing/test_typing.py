"""Calls as users write them pass a strict type checker, and wrong ones do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

API = Path(__file__).parent / "api.py"


@pytest.mark.timeout(180)
def test_calls_type_check() -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(API)]  # unused ignores are errors
    result = subprocess.run(command, capture_output=True, text=True, cwd=API.parent.parent.parent, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
