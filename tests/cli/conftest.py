"""Servers for the commands, each in a separate process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.command_line import Served, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose mock provider has no delay."""
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose mock provider generates eight words per second."""
    with serving(tmp_path_factory.mktemp("slow"), "--mock-pace", "8") as server:
        yield server
