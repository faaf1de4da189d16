"""Where a call belongs: its project, session, parent and configuration, made on first use where v4 says so."""

from __future__ import annotations

from typing import Protocol, TypeVar

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from ..types import GenerationRequest, ModelConfigFields
from .model_config import ModelConfig
from .refusals import InvalidRequest, Refusal
from .storage.configs import add_config, config_id_by_identity
from .storage.database import Database
from .storage.experiments import Trial
from .storage.logs import session_of_log
from .storage.projects import Project, add_project, project_by_id, project_by_name
from .storage.sessions import add_session, session_exists, session_id_by_reference

MAX_NAME_CHARS = 255
"""Longest name of a project, longest source, and longest reference of a session or a log, in characters."""

T = TypeVar("T")


class OfProject(Protocol):
    """What requests say of their project."""

    project: str | None
    project_id: str | None


class Placed(OfProject, Protocol):
    """What requests that make logs say of where those belong."""

    session_id: str | None
    session_reference_id: str | None
    parent_id: str | None
    parent_reference_id: str | None
    source: str | None


class Placement(Struct, frozen=True, kw_only=True):
    """What a call's logs and answer carry.

    Attributes:
        environment: Name of the environment, of a call that uses what is deployed.
        trial: The sampling, of a call that uses an experiment.
    """

    project_id: str | None
    config_id: str
    session_id: str | None
    parent_id: str | None
    environment: str | None = None
    trial: Trial | None = None


class NewConfig(Struct, frozen=True):
    """A configuration that came with the request, and the name it was given there."""

    config: ModelConfig
    request: ModelConfigFields


class Missing(Exception):
    """Something is still to be made."""


def check_references(request: Placed, *loc: str | int) -> None:
    """Check what can be told without the database.

    Args:
        loc: Where in the body the request is.

    Raises:
        Refusal: A name is empty or too long, or two references are given where one must be (422).
    """
    for name in ("project", "session_reference_id"):
        value: str | None = getattr(request, name)
        if value is not None and not 0 < len(value) <= MAX_NAME_CHARS:
            raise InvalidRequest.at(*loc, name, msg=f"must have 1 to {MAX_NAME_CHARS} characters")
    if len(request.source or "") > MAX_NAME_CHARS:  # it is in an index
        raise InvalidRequest.at(*loc, "source", msg=f"must have at most {MAX_NAME_CHARS} characters")
    for one, other in (("session_id", "session_reference_id"), ("parent_id", "parent_reference_id")):
        if getattr(request, one) is not None and getattr(request, other) is not None:
            raise Refusal(422, f"`{one}` and `{other}` exclude each other; give one")


async def place(
    database: Database, request: GenerationRequest, config: NewConfig | str, project_id: str | None = None
) -> Placement:
    """Find or make what a call refers to; two racing calls get the same.

    Args:
        config: What came with the request, or the id of a configuration that exists.
        project_id: The project when it is known already; None takes the one that the request names.

    Raises:
        Refusal: Something that must exist does not (404), or two references contradict each other (422).
    """
    try:  # mostly all is there, and reading waits for nobody
        async with database.read() as connection:
            return await Finder(connection, make=False).placement(request, config, project_id)
    except Missing:
        async with database.write() as connection:
            return await Finder(connection, make=True).placement(request, config, project_id)


class Finder(Struct):
    """Looks up what requests refer to.

    Attributes:
        make: Whether to make what v4 makes on first use; without it, looking up something that is missing fails.
    """

    connection: AsyncConnection
    make: bool

    async def placement(self, request: Placed, config: NewConfig | str, project_id: str | None = None) -> Placement:
        # What must exist comes first: a call that is refused should make nothing.
        parent_id, session_id = await self.nesting(request)
        project_id = project_id or await self.project(request)
        config_id = config if isinstance(config, str) else await self.config(config, project_id)
        return Placement(project_id=project_id, config_id=config_id, session_id=session_id, parent_id=parent_id)

    async def nesting(self, request: Placed) -> tuple[str | None, str | None]:
        """The ids of the parent and the session; a log without a session of its own joins its parent's."""
        parent_id, parents_session = await self.parent(request)
        session_id = await self.session(request)
        if parent_id is not None and session_id is not None and session_id != parents_session:
            if parents_session is None:
                raise Refusal(422, "the parent log is in no session, and its children are where it is; name no session")
            raise Refusal(422, "the parent log belongs to another session; name its session, or none")
        return parent_id, session_id or parents_session

    async def parent(self, request: Placed) -> tuple[str | None, str | None]:
        if request.parent_id is None and request.parent_reference_id is None:
            return None, None
        found = await session_of_log(self.connection, id=request.parent_id, reference_id=request.parent_reference_id)
        if found is None:
            raise Refusal(
                404, f"there is no log {request.parent_id or request.parent_reference_id!r:.80} to be the parent"
            )
        return found

    async def session(self, request: Placed) -> str | None:
        if request.session_id is not None:
            if not await session_exists(self.connection, request.session_id):
                raise Refusal(404, f"there is no session {request.session_id!r:.80}")
            return request.session_id
        if (reference := request.session_reference_id) is None:
            return None
        if self.make:
            await add_session(self.connection, reference)
        return _found(await session_id_by_reference(self.connection, reference))

    async def project(self, request: OfProject) -> str | None:
        if request.project_id is not None:
            project = await project_by_id(self.connection, request.project_id)
            if project is None:
                raise Refusal(404, f"there is no project {request.project_id!r:.80}")
            if request.project not in (None, project.name):
                raise Refusal(422, f"`project` and `project_id` differ: {project.id} is {project.name!r:.80}; give one")
            return project.id
        if request.project is None:
            return None
        if self.make:
            await add_project(self.connection, request.project)
        found: Project = _found(await project_by_name(self.connection, request.project))
        return found.id

    async def config(self, new: NewConfig, project_id: str | None) -> str:
        if self.make:
            name, description = new.request.name, new.request.description
            await add_config(self.connection, new.config, project_id=project_id, name=name, description=description)
        return _found(await config_id_by_identity(self.connection, new.config.identity(project_id)))


def _found(value: T | None) -> T:
    if value is None:
        raise Missing
    return value
