"""Imports point in one direction, the core cannot wait, and importing the package loads little."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import humanloop_async

ROOT = Path(humanloop_async.__file__).parent

CORE = {"errors", "types", "wire"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"types"},
    "types": {"errors"},
    "wire": {"errors", "types"},
    "config": CORE,
    "transport": CORE | {"config"},
    "client": CORE | {"config", "transport"},
    "sync": CORE | {"config", "transport", "client"},
    "testing": CORE | {"config", "transport", "client", "sync", "server.providers", "server.running"},
    "bench": CORE | {"config", "transport", "client"},
}
"""Subpackages and modules, each with those that it may import besides itself."""

SERVER_LAYERS = (
    *("ids", "request_context", "metrics", "children", "templates", "providers", "environment", "settings"),
    *("errors", "storage", "records", "exchange", "generation", "evaluation", "service", "http", "running"),
)
"""Subpackages of the server, lowest first. Each may import those below it, and the core."""

for level, name in enumerate(SERVER_LAYERS):
    MAY_IMPORT[f"server.{name}"] = CORE | {f"server.{lower}" for lower in SERVER_LAYERS[:level]}
MAY_IMPORT["server.providers"] |= {"config", "transport"}

TOGETHER = {"", "__main__", "_exports", "cli", "server"}
"""Modules that may import everything: the lazy names of the package and of the server, and the command line."""

HARMLESS = {
    "__future__",
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "decimal",
    "email",
    "functools",
    "json",
    "math",
    "msgspec",
    "re",
    "types",
    "typing",
    "urllib.parse",
}
"""The modules outside of the package that `wire` may import. None of them can wait."""


def room(module: tuple[str, ...]) -> str:
    return ".".join(module[:2] if module[:1] == ("server",) else module[:1])


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield every module that a file imports, also inside functions. This package's modules keep its name."""
    package = (ROOT.name, *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((*module, alias.name) for alias in node.names)


def modules() -> list[tuple[tuple[str, ...], Path]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((parts[:-1] if parts[-1] == "__init__" else parts, path))
    return found


@pytest.mark.parametrize(
    ("module", "path"), modules(), ids=lambda value: ".".join(value) if isinstance(value, tuple) else ""
)
def test_imports_point_one_way(module: tuple[str, ...], path: Path) -> None:
    """A module imports only what `MAY_IMPORT` allows: errors, types <- wire <- transport <- client <- sync."""
    here = room(module)
    if here in TOGETHER:
        return
    ours = {room(name[1:]) for name in imports(path) if name[0] == ROOT.name}
    ours -= {here, "__version__"}
    assert ours <= MAY_IMPORT[here]


@pytest.mark.parametrize("path", sorted((ROOT / "wire").rglob("*.py")), ids=lambda path: path.stem)
def test_wire_imports_nothing_that_can_wait(path: Path) -> None:
    outside = {
        ".".join(name[:2]) if name[0] == "urllib" else name[0] for name in imports(path)
    }  # other modules of urllib can wait
    assert outside <= HARMLESS | {ROOT.name}


def loaded_after(code: str) -> set[str]:
    """Return the names of the modules that a new interpreter has loaded after running this code."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # it loads modules
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=env)
    return set(done.stdout.split())


HEAVY = {
    "aiohttp",
    "httpx",
    "httpx_sse",
    "sqlalchemy",
    "alembic",
    "jinja2",
    "cyclopts",
    "rich",
    "humanloop_async.server",
}
ON_DEMAND = {"AiohttpTransport", "HttpxTransport", "EmbeddedServer", "create_app"}
"""The public names that load an HTTP library or the server."""


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_after("import humanloop_async")
    assert not loaded & (HEAVY | {"asyncio", "anyio", "msgspec", "ssl"})


def test_the_public_names_load_neither_a_transport_nor_the_server() -> None:
    """Annotations, `except` clauses and settings need no HTTP library, unlike the first client."""
    names = sorted(set(humanloop_async.__all__) - ON_DEMAND)
    loaded = loaded_after(f"import humanloop_async\nfor name in {names}: getattr(humanloop_async, name)")
    assert "humanloop_async.client.client" in loaded
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.endswith("_transport")}


def test_the_core_loads_no_event_loop() -> None:
    files = sorted((ROOT / "wire").glob("[a-z]*.py"))
    loaded = loaded_after("\n".join(f"import humanloop_async.wire.{path.stem}" for path in files))
    assert {f"humanloop_async.wire.{path.stem}" for path in files} <= loaded
    assert not loaded & (HEAVY | {"asyncio", "anyio", "concurrent.futures", "threading", "ssl"})
