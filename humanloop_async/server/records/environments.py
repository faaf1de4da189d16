"""The environments that configurations are deployed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import ApiError
from ..settings import ServeError
from ..storage.database import Database
from ..storage.environments import environment_ids, get_or_create_environments
from .references import MAX_NAME_CHARS


class Environment(Struct, frozen=True):
    """An environment."""

    id: str
    name: str
    tag: Literal["default", "other"]


class Environments:
    """The environments that are in the database, also those that another program has created since the start.

    Attributes:
        default: The environment of calls that name none.
    """

    def __init__(self, first: Sequence[Environment]) -> None:
        self._first = {environment.name: environment for environment in first}
        self.default = first[0]

    @classmethod
    async def open(cls, database: Database, names: Sequence[str]) -> Environments:
        """Get or create the environments with these names; the first is the default.

        Servers that start together create each of them once.

        Raises:
            ServeError: There is no name, or a name is repeated, empty or too long.
        """
        if not names or len(set(names)) < len(names) or not all(map(is_environment_name, names)):
            raise ServeError(
                f"invalid environments {[*names]!r:.200}: give at least one, with distinct names of 1 to "
                f"{MAX_NAME_CHARS} characters"
            )
        async with database.write() as connection:
            ids = await get_or_create_environments(connection, names)
        return cls([Environment(ids[name], name, "other" if index else "default") for index, name in enumerate(names)])

    async def all(self, connection: AsyncConnection) -> list[Environment]:
        """Return all environments: those named at start, then the others, the oldest first."""
        ids = await environment_ids(connection)
        others = [Environment(id, name, "other") for name, id in ids.items() if name not in self._first]
        return [*self._first.values(), *others]

    async def by_name(self, connection: AsyncConnection, name: str | None) -> Environment:
        """Return the environment with this name, or the default one for None.

        Raises:
            ApiError: The environment does not exist (404).
        """
        if name is None:
            return self.default
        if name in self._first:
            return self._first[name]
        environments = await self.all(connection)
        for environment in environments:
            if environment.name == name:
                return environment
        known = ", ".join(repr(environment.name) for environment in environments)
        raise ApiError(404, f"there is no environment {name!r:.80}; this server has {known:.500}")

    async def by_id(self, connection: AsyncConnection, environment_id: str) -> Environment:
        """Return the environment with this id.

        Raises:
            ApiError: The environment does not exist (404).
        """
        for environment in await self.all(connection):
            if environment.id == environment_id:
                return environment
        raise ApiError(
            404, f"there is no environment {environment_id!r:.80}; deployed-configs lists them with their ids"
        )


def is_environment_name(name: str) -> bool:
    """Return whether an environment can have this name."""
    return 0 < len(name) <= MAX_NAME_CHARS
