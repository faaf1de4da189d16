"""The virtual environments of the unmodified official clients: ``python tests/interop/environments.py`` makes them."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

VERSIONS = ("0.5.18", "0.7.35")
FOLDER = Path(__file__).parent / ".venvs"


def interpreter(version: str) -> Path:
    """The Python of a version's environment."""
    return FOLDER / f"humanloop-{version}" / "bin" / "python"


def make(version: str) -> None:
    """Install a version of the official client, unless that was done before."""
    python = interpreter(version)
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"humanloop=={version}"], check=True)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSIONS:
        make(wanted)
