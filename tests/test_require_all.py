"""In CI a skip is a failure: the switch is tested in a run of its tests by another pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TESTS = """
import pytest

@pytest.fixture
def database():
    pytest.skip("PostgreSQL is not installed")

def test_fixture(database): ...

def test_body():
    pytest.importorskip("no_such_module")

@pytest.mark.skipif(True, reason="no local model")
def test_mark(): ...

@pytest.mark.skipif(True, reason="not applicable: no fork on this platform")
def test_platform(): ...

@pytest.mark.xfail
def test_expected_failure():
    assert False

def test_passes(): ...
"""
MODULE = "import pytest\npytest.skip('Node is not installed', allow_module_level=True)\n"


@pytest.mark.parametrize(
    ("switch", "outcomes"),
    [
        ("", {"passed": 1, "skipped": 5, "xfailed": 1}),
        ("0", {"passed": 1, "skipped": 5, "xfailed": 1}),
        ("1", {"passed": 1, "skipped": 1, "xfailed": 1, "failed": 1, "error": 3}),
    ],
)
def test_skips_fail_when_everything_is_required(tmp_path: Path, switch: str, outcomes: dict[str, int]) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-p", "tests.require_all", "-p", "no:cacheprovider", "-rfE"]
    command += ["--continue-on-collection-errors", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
    environment |= {"HUMANLOOP_TESTS_REQUIRE_ALL": switch, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    summary = done.stdout.strip().splitlines()[-1]
    counted = {kind.removesuffix("s"): int(number) for number, kind in re.findall(r"(\d+) (\w+)", summary)}
    assert {kind: counted.get(kind.removesuffix("s"), 0) for kind in outcomes} == outcomes, done.stdout
    assert bool(done.returncode) == (switch == "1")
    if switch == "1":
        for reason in ("PostgreSQL is not installed", "no_such_module", "no local model", "Node is not installed"):
            assert reason in done.stdout
