"""The environments that configurations are deployed to. They are named at start, and do not change until the end."""

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
    """One environment."""

    id: str
    name: str
    tag: Literal["default", "other"]


class Environments:
    """All environments of a server, the default one first."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        self._all = environments

    def __iter__(self) -> Iterator[Environment]:
        return iter(self._all)

    @classmethod
    async def open(cls, database: Database, names: Sequence[str]) -> Environments:
        """Those of these names; servers that start together make each of them once.

        Raises:
            ServeError: There is no name, or one that cannot be used.
        """
        if not names or len(set(names)) < len(names) or not all(0 < len(name) <= MAX_NAME_CHARS for name in names):
            raise ServeError(f"environments need different names of 1 to {MAX_NAME_CHARS} characters; one at least")
        async with database.write() as connection:
            ids = await get_or_create_environments(connection, names)
        return cls([Environment(ids[name], name, "other" if at else "default") for at, name in enumerate(names)])

    @property
    def default(self) -> Environment:
        """What a call that names none means."""
        return self._all[0]

    def named(self, name: str | None) -> Environment:
        """The one of that name; None is the default.

        Raises:
            ApiError: There is none (404).
        """
        if name is None:
            return self.default
        for environment in self._all:
            if environment.name == name:
                return environment
        known = ", ".join(repr(environment.name) for environment in self._all)
        raise ApiError(404, f"there is no environment {name!r:.80}; this server has {known}")

    def of_id(self, environment_id: str) -> Environment:
        """The one of that id.

        Raises:
            ApiError: There is none (404).
        """
        for environment in self._all:
            if environment.id == environment_id:
                return environment
        raise ApiError(
            404, f"there is no environment {environment_id!r:.80}; deployed-configs lists them with their ids"
        )
