"""The environments that configurations are deployed to. They are configured at start, and do not change later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from ..errors import ApiError
from ..settings import ServeError
from ..storage.database import Database
from ..storage.environments import get_or_create_environments
from .references import MAX_NAME_CHARS


class Environment(Struct, frozen=True):
    """An environment."""

    id: str
    name: str
    tag: Literal["default", "other"]


class Environments:
    """All environments of a server; the first is the default."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        self._all = environments

    def __iter__(self) -> Iterator[Environment]:
        return iter(self._all)

    @classmethod
    async def open(cls, database: Database, names: Sequence[str]) -> Environments:
        """Get or create the environments with these names. Servers that start together create each of them once.

        Raises:
            ServeError: There is no name, or a name is repeated, empty or too long.
        """
        if not names or len(set(names)) < len(names) or not all(0 < len(name) <= MAX_NAME_CHARS for name in names):
            raise ServeError(
                f"invalid environments {[*names]!r:.200}: give at least one, with distinct names of 1 to "
                f"{MAX_NAME_CHARS} characters"
            )
        async with database.write() as connection:
            ids = await get_or_create_environments(connection, names)
        return cls([Environment(ids[name], name, "other" if index else "default") for index, name in enumerate(names)])

    @property
    def default(self) -> Environment:
        """The environment of calls that name none."""
        return self._all[0]

    def by_name(self, name: str | None) -> Environment:
        """Return the environment with this name, or the default one for None.

        Raises:
            ApiError: The environment does not exist (404).
        """
        if name is None:
            return self.default
        for environment in self._all:
            if environment.name == name:
                return environment
        known = ", ".join(repr(environment.name) for environment in self._all)
        raise ApiError(404, f"there is no environment {name!r:.80}; this server has {known}")

    def by_id(self, environment_id: str) -> Environment:
        """Return the environment with this id.

        Raises:
            ApiError: The environment does not exist (404).
        """
        for environment in self._all:
            if environment.id == environment_id:
                return environment
        raise ApiError(
            404, f"there is no environment {environment_id!r:.80}; deployed-configs lists them with their ids"
        )
