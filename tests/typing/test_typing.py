"""Calls as users write them pass a strict type checker, and wrong ones do not."""

from __future__ import annotations

import re
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


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_programs_of_the_readme_type_check(tmp_path: Path, checker: str) -> None:
    pytest.importorskip(checker, reason=f"{checker} is not installed")
    root = API.parents[2]
    programs = re.findall(r"^```python\n(.*?)^```", (root / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert programs
    for number, program in enumerate(programs):
        (tmp_path / f"program_{number}.py").write_text(f"# pyright: strict\n{program}")
    files = sorted(map(str, tmp_path.glob("*.py")))
    options = ["--strict", "--config-file="] if checker == "mypy" else ["--pythonpath", sys.executable]
    command = [sys.executable, "-m", checker, *options, *files]
    result = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
