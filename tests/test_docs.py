"""The README's example runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"<!-- run -->\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs_without_a_warning(example: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_there_is_an_example() -> None:
    assert EXAMPLES


def test_the_tables_are_those_of_the_recorded_figures() -> None:
    """`python -m benchmarks render benchmarks/results.json --summary` prints them."""
    command = [sys.executable, "-m", "benchmarks", "render", "benchmarks/results.json", "--summary"]
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, timeout=50, check=True)
    for part in filter(None, done.stdout.split("\n\n")):
        assert part.strip() in README.read_text(encoding="utf-8")
