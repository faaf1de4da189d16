"""The public names: sorted, importable, documented, and the same for type checkers."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import humanloop_async
from humanloop_async import _exports, testing

SOURCE = Path(humanloop_async.__file__).parent
EXTRAS = [("HttpxTransport", "httpx"), ("EmbeddedServer", "server"), ("create_app", "server")]


def test_the_list_is_sorted_and_without_duplicates() -> None:
    assert humanloop_async.__all__ == sorted(set(humanloop_async.__all__))


@pytest.mark.parametrize("name", [*humanloop_async.__all__, *(name for name, _ in EXTRAS)])
def test_each_name_can_be_imported(name: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from humanloop_async import {name}", namespace)
    value = namespace[name]
    assert value is not None
    if name != "Json" and (inspect.isclass(value) or inspect.isfunction(value)):  # at run time, `Json` is Any
        assert value.__doc__, f"{name} has no docstring"
        assert value.__module__.startswith("humanloop_async.")


@pytest.mark.parametrize("name", ["ConfigResponse", "PaginatedData", "ProviderApiKeys", "ResponseList"])
def test_types_of_fields_and_results_are_public(name: str) -> None:
    """No operation takes or returns these types by name, so the generator has a list of them."""
    assert name in humanloop_async.__all__


def test_dir_lists_the_public_names() -> None:
    assert dir(humanloop_async) == humanloop_async.__all__


def test_the_names_of_the_testing_tools_are_documented_and_the_same_for_type_checkers() -> None:
    names = testing.__all__
    assert sorted(names) == sorted(set(names)) == dir(testing)
    for name in names:
        value = getattr(testing, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name} has no docstring"
            assert value.__module__.startswith("humanloop_async.testing.")
    tree = ast.parse((SOURCE / "testing" / "__init__.py").read_text())
    imported = {a.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names if a.asname}
    assert imported == set(names)


def test_a_missing_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'humanloop_async' has no attribute 'nothing'"):
        humanloop_async.nothing  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(humanloop_async, "ApiExceptions")


def test_type_checkers_see_the_same_names() -> None:
    """The imports under `TYPE_CHECKING` are the names that `__getattr__` finds."""
    imported = {
        alias.asname: node.module
        for node in ast.walk(ast.parse((SOURCE / "_exports.py").read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert imported == _exports.MODULES
    assert {"__version__", *imported} - {name for name, _ in EXTRAS} == set(humanloop_async.__all__)


def test_a_star_import_brings_all_names() -> None:
    namespace: dict[str, object] = {}
    exec("from humanloop_async import *", namespace)
    assert set(humanloop_async.__all__) <= set(namespace)


def test_the_package_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()


def without_extras(code: str) -> str:
    """Run a program with the extras' libraries hidden, and return its output."""
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


INSPECTIONS = {
    "star": "from humanloop_async import *; Humanloop, Transport",
    "members": "import inspect; assert dict(inspect.getmembers(humanloop_async))['Humanloop']",
    "help": "import pydoc; assert 'Humanloop' in pydoc.render_doc(humanloop_async)",
    "mock": "from unittest.mock import create_autospec; create_autospec(humanloop_async).Humanloop",
    "completion": "import rlcompleter; assert rlcompleter.Completer(globals()).attr_matches('humanloop_async.Humanl')",
}


@pytest.mark.parametrize("inspection", INSPECTIONS.values(), ids=INSPECTIONS)
def test_the_package_can_be_inspected_without_the_extras(inspection: str) -> None:
    without_extras(inspection)


@pytest.mark.parametrize(("name", "extra"), EXTRAS)
def test_a_name_of_an_extra_names_the_extra(name: str, extra: str) -> None:
    output = without_extras(f"""if True:
        try:
            from humanloop_async import {name}
        except ImportError as exc:
            print(exc)
        try:
            humanloop_async.{name}
        except ImportError as exc:
            print(exc)
    """)
    hint = f"{name} needs the extra `{extra}` of this package (in its folder: pip install '.[{extra}]')\n"
    assert output == hint * 2
