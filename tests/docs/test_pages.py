"""The pages of the documentation run as they stand, and the site builds without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import humanloop_async
from tests.docs.programs import require
from tests.docs.run_page import blocks

pytestmark = pytest.mark.timeout(240)  # commands of the shell take most of it
ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
RUN_PAGE = Path(__file__).parent / "run_page.py"


def is_run(page: Path) -> bool:
    """Return whether a page has code to run."""
    found = blocks(page.read_text(encoding="utf-8"))
    return any(block.language in ("python", "sh") and block.reason is None for block in found)


@pytest.mark.parametrize("page", [page for page in PAGES if is_run(page)], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_without_a_warning(
    page: Path, server_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "error", str(RUN_PAGE), str(page)]
    done = subprocess.run(command, cwd=tmp_path, env=server_environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_code_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        checked = block.language in ("python", "sh", "text") or block.language.startswith("{")
        assert checked or block.reason is not None, f"{where}: not checked"
        assert block.language != "python" or block.reason is None, f"{where}: Python can be run"


def test_the_site_builds_without_a_warning_and_has_every_public_name(tmp_path: Path) -> None:
    """Sphinx reports links within the site and in docstrings that lead nowhere."""
    require("sphinx", "myst_parser", "furo")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    reference = (tmp_path / "reference.html").read_text(encoding="utf-8")
    for name in set(humanloop_async.__all__) - {"__version__"}:
        assert f'id="humanloop_async.{name}"' in reference or f">{name}<" in reference
