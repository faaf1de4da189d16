"""The public names: sorted, all there, documented, and the same for type checkers."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import humanloop_async

SOURCE = Path(humanloop_async.__file__)


def test_the_list_is_sorted_and_has_nothing_twice() -> None:
    assert humanloop_async.__all__ == sorted(set(humanloop_async.__all__))


@pytest.mark.parametrize("name", humanloop_async.__all__)
def test_each_name_can_be_imported(name: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from humanloop_async import {name}", namespace)
    value = namespace[name]
    assert value is not None
    if name != "Json" and (inspect.isclass(value) or inspect.isfunction(value)):  # at run time, that one is Any
        assert value.__doc__, f"{name} has no docstring"
        assert value.__module__.startswith("humanloop_async.")


def test_dir_shows_the_public_names() -> None:
    assert dir(humanloop_async) == humanloop_async.__all__


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'humanloop_async' has no attribute 'nothing'"):
        humanloop_async.nothing  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(humanloop_async, "ApiExceptions")


def test_type_checkers_see_the_same_names() -> None:
    """What `TYPE_CHECKING` imports is what `__getattr__` finds."""
    seen = {
        alias.name
        for node in ast.walk(ast.parse(SOURCE.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert seen | {"__version__"} == set(humanloop_async.__all__)


def test_a_star_import_brings_them_all() -> None:
    namespace: dict[str, object] = {}
    exec("from humanloop_async import *", namespace)
    assert set(humanloop_async.__all__) <= set(namespace)


def test_the_package_is_typed() -> None:
    assert (SOURCE.parent / "py.typed").exists()


def without_extras(code: str) -> str:
    """What a program prints where the libraries of the extras are not installed."""
    hide = """if True:
        import importlib.machinery, sys
        def find_spec(name, path=None, target=None, found=importlib.machinery.PathFinder.find_spec):
            return None if name in {"httpx", "sqlalchemy"} else found(name, path, target)
        importlib.machinery.PathFinder.find_spec = find_spec
        import humanloop_async
    """
    done = subprocess.run([sys.executable, "-c", f"{hide}\n{code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOOKS = {
    "a star": "from humanloop_async import *; Humanloop, Transport",
    "its members": "import inspect; assert dict(inspect.getmembers(humanloop_async))['Humanloop']",
    "help": "import pydoc; assert 'Humanloop' in pydoc.render_doc(humanloop_async)",
    "a mock": "from unittest.mock import create_autospec; create_autospec(humanloop_async).Humanloop",
    "completion": "import rlcompleter; assert rlcompleter.Completer(globals()).attr_matches('humanloop_async.Humanl')",
    "hasattr": "assert not hasattr(humanloop_async, 'HttpxTransport'); assert hasattr(humanloop_async, 'Humanloop')",
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_it_can_be_looked_at_without_the_extras(look: str) -> None:
    without_extras(look)


@pytest.mark.parametrize(
    ("name", "extra"), [("HttpxTransport", "httpx"), ("EmbeddedServer", "server"), ("create_app", "server")]
)
def test_a_name_of_an_extra_tells_which(name: str, extra: str) -> None:
    said = without_extras(f"""if True:
        try:
            from humanloop_async import {name}
        except ImportError as exc:
            print(exc)
        try:
            humanloop_async.{name}
        except AttributeError as exc:
            print(exc)
    """)
    assert said == f"{name} needs more: pip install 'humanloop_async[{extra}]'\n" * 2
