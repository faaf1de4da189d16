"""The clients that are measured, and the virtual environment of each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / "benchmarks" / ".venvs"

# The arguments of `pip install` for each; "." is this package. The extras have a separate environment, so that they do
# not count towards the size of the package.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "ours": (".",),
    "ours-extras": (".[httpx,fast]",),
    "official": ("humanloop==0.7.35",),
    "openai": ("openai",),
    "openai-aiohttp": ("openai[aiohttp]",),
    "httpx-sse": ("httpx", "httpx-sse"),
    "aiohttp": ("aiohttp",),
    "baseline": ("aiohttp", "msgspec"),
    "baseline-uvloop": ("aiohttp", "msgspec", "uvloop"),
    "server": (".[server,fast]",),
    "server-plain": (".[server]",),
    "litellm": ("litellm[proxy]==1.106.2",),
}

# The package.json of each. With a newer node-server, which its requirements allow, the gateway responds to every stream
# with status 500.
NODE_PACKAGES: dict[str, dict[str, dict[str, str]]] = {
    "portkey": {
        "dependencies": {"@portkey-ai/gateway": "1.15.2"},
        "overrides": {"@hono/node-server": "1.14.1"},
    }
}


@dataclass(frozen=True)
class Peer:
    """One row of the tables: an adapter (`benchmarks.peers.<module>`), its environment, options and variables."""

    name: str
    title: str
    module: str
    environment: str
    shape: str = "v4"
    options: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)


_UVLOOP, _HTTPX, _TASKS, _AIOHTTP = {"loop": "uvloop"}, {"transport": "httpx"}, {"tasks": "yes"}, {"backend": "aiohttp"}
_HELD = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}  # glibc's initial threshold; one that is set explicitly never rises

PEERS = {
    peer.name: peer
    for peer in (
        Peer("baseline-read", "baseline: read, decode nothing", "baseline_read", "baseline"),
        Peer("baseline-held", "baseline: read, mmap threshold fixed", "baseline_read", "baseline", environ=_HELD),
        Peer("baseline-decode", "baseline: split and decode", "baseline_decode", "baseline"),
        Peer(
            "baseline-uvloop", "baseline: split and decode, uvloop", "baseline_decode", "baseline-uvloop", "v4", _UVLOOP
        ),
        Peer("ours", "humanloop_async", "ours", "ours"),
        Peer("ours-held", "humanloop_async, mmap threshold fixed", "ours", "ours", environ=_HELD),
        Peer("ours-tasks", "humanloop_async, a task per sample", "ours", "ours", "v4", _TASKS),
        Peer("ours-uvloop", "humanloop_async, uvloop", "ours", "ours-extras", "v4", _UVLOOP),
        Peer("ours-httpx", "humanloop_async, httpx transport", "ours", "ours-extras", "v4", _HTTPX),
        Peer("ours-sync", "humanloop_async, sync", "ours_sync", "ours"),
        Peer("official", "humanloop 0.7.35 (official)", "official", "official"),
        Peer("openai", "openai", "openai_sdk", "openai", "openai"),
        Peer("openai-aiohttp", "openai, aiohttp backend", "openai_sdk", "openai-aiohttp", "openai", _AIOHTTP),
        Peer("openai-sync", "openai, sync", "openai_sync", "openai", "openai"),
        Peer("httpx-sse", "httpx + httpx-sse + json", "httpx_sse_json", "httpx-sse"),
        Peer("aiohttp-json", "aiohttp lines + json", "aiohttp_json", "aiohttp"),
    )
}


class Installed(Protocol):
    """A client or gateway that has an environment."""

    @property
    def name(self) -> str: ...
    @property
    def environment(self) -> str: ...


def own_interpreter(peer: Installed) -> Path | None:
    """Return the Python of the client's environment, None if that is not installed."""
    scripts = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    python = VENVS / peer.environment / scripts
    return python if python.exists() else None


def this_interpreter(peer: Installed) -> Path | None:
    """Return the running Python; a client that it cannot import becomes a gap."""
    del peer
    return Path(sys.executable)


def install(names: list[str]) -> list[str]:
    """Create the named environments, replacing existing ones, and return those that failed."""
    failed: list[str] = []
    for name in names:
        if name in NODE_PACKAGES:
            failed += _install_from_npm(name)
            continue
        print(f"{name}: {' '.join(ENVIRONMENTS[name])}", flush=True)
        venv.create(VENVS / name, with_pip=True, clear=True)
        scripts = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
        pip = [str(VENVS / name / scripts), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, *ENVIRONMENTS[name]], cwd=ROOT, check=False).returncode:
            failed.append(name)
    return failed


def _install_from_npm(name: str) -> list[str]:
    print(f"{name}: {json.dumps(NODE_PACKAGES[name])}", flush=True)
    folder = VENVS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps(NODE_PACKAGES[name]))
    npm = shutil.which("npm") or "npm"
    try:
        done = subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=False)
    except FileNotFoundError:
        print(f"{name} needs npm, which is not on the PATH; install Node.js", file=sys.stderr)
        return [name]
    return [name] if done.returncode else []


def installed_size(environment: str) -> dict[str, float]:
    """Return size (MB) and number of the packages in an environment, without pip and setuptools."""
    found = [*(VENVS / environment).glob("lib/python*/site-packages"), VENVS / environment / "Lib/site-packages"]
    tools = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
    entries = [entry for entry in found[0].iterdir() if not entry.name.startswith(tools)]
    files = [file for entry in entries for file in (entry.rglob("*") if entry.is_dir() else [entry])]
    size = sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())
    return {"installed_mb": size / 1e6, "packages": sum(entry.name.endswith(".dist-info") for entry in entries)}
