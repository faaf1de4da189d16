"""Servers for the commands to talk to, each a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.command_line import Served, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose mock provider is as fast as can be."""
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose mock provider says about eight words a second."""
    with serving(tmp_path_factory.mktemp("slow"), "--mock-pace", "8") as server:
        yield server
