"""The public names: sorted, all there, documented, and the same for type checkers."""

from __future__ import annotations

import ast
import inspect
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
        humanloop_async.nothing  # noqa: B018
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
