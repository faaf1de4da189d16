"""Where a call belongs: its project, session, parent and configuration, made on first use where v4 says so."""

from __future__ import annotations

from typing import Protocol, TypeVar

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import GenerationRequest, ModelConfigFields
from ..errors import ApiError, InvalidRequest
from ..storage.configs import add_config, config_id_by_identity
from ..storage.database import Database
from ..storage.experiments import Trial
from ..storage.logs import session_of_log
from ..storage.model_config import ModelConfig
from ..storage.projects import Project, add_project, project_by_id, project_by_name
from ..storage.sessions import add_session, session_exists, session_id_by_reference

MAX_NAME_CHARS = 255
"""Longest name of a project, longest source, and longest reference of a session or a log, in characters."""

T = TypeVar("T")


class HasProject(Protocol):
    """What requests say of their project."""

    project: str | None
    project_id: str | None


class HasReferences(HasProject, Protocol):
    """What requests that make logs say of where those belong."""

    session_id: str | None
    session_reference_id: str | None
    parent_id: str | None
    parent_reference_id: str | None
    source: str | None


class CallContext(Struct, frozen=True, kw_only=True):
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


class InlineConfig(Struct, frozen=True):
    """A configuration that came with the request, and the name it was given there."""

    config: ModelConfig
    request: ModelConfigFields


class NotFound(Exception):
    """Something is still to be made."""


def check_references(request: HasReferences, *loc: str | int) -> None:
    """Check what can be told without the database.

    Args:
        loc: Where in the body the request is.

    Raises:
        ApiError: A name is empty or too long, or two references are given where one must be (422).
    """
    for name in ("project", "session_reference_id"):
        value: str | None = getattr(request, name)
        if value is not None and not 0 < len(value) <= MAX_NAME_CHARS:
            raise InvalidRequest.at(*loc, name, msg=f"must have 1 to {MAX_NAME_CHARS} characters")
    if len(request.source or "") > MAX_NAME_CHARS:  # it is in an index
        raise InvalidRequest.at(*loc, "source", msg=f"must have at most {MAX_NAME_CHARS} characters")
    for one, other in (("session_id", "session_reference_id"), ("parent_id", "parent_reference_id")):
        if getattr(request, one) is not None and getattr(request, other) is not None:
            raise ApiError(422, f"`{one}` and `{other}` exclude each other; give one")


async def resolve_references(
    database: Database, request: GenerationRequest, config: InlineConfig | str, project_id: str | None = None
) -> CallContext:
    """Find or make what a call refers to; two racing calls get the same.

    Args:
        config: What came with the request, or the id of a configuration that exists.
        project_id: The project when it is known already; None takes the one that the request names.

    Raises:
        ApiError: Something that must exist does not (404), or two references contradict each other (422).
    """
    try:  # mostly all is there, and reading waits for nobody
        async with database.read() as connection:
            return await ReferenceResolver(connection, create=False).call_context(request, config, project_id)
    except NotFound:
        async with database.write() as connection:
            return await ReferenceResolver(connection, create=True).call_context(request, config, project_id)


class ReferenceResolver(Struct):
    """Looks up what requests refer to.

    Attributes:
        create: Whether to create what v4 makes on first use; without it, looking up something that is missing fails.
    """

    connection: AsyncConnection
    create: bool

    async def call_context(
        self, request: HasReferences, config: InlineConfig | str, project_id: str | None = None
    ) -> CallContext:
        # What must exist comes first: a call that is refused should make nothing.
        parent_id, session_id = await self.nesting(request)
        project_id = project_id or await self.project(request)
        config_id = config if isinstance(config, str) else await self.config(config, project_id)
        return CallContext(project_id=project_id, config_id=config_id, session_id=session_id, parent_id=parent_id)

    async def nesting(self, request: HasReferences) -> tuple[str | None, str | None]:
        """The ids of the parent and the session; a log without a session of its own joins its parent's."""
        parent_id, parents_session = await self.parent(request)
        session_id = await self.session(request)
        if parent_id is not None and session_id is not None and session_id != parents_session:
            if parents_session is None:
                raise ApiError(
                    422, "the parent log has no session, so its children cannot have one; remove `session_id`"
                )
            raise ApiError(422, "the parent log belongs to another session; name its session, or none")
        return parent_id, session_id or parents_session

    async def parent(self, request: HasReferences) -> tuple[str | None, str | None]:
        if request.parent_id is None and request.parent_reference_id is None:
            return None, None
        found = await session_of_log(self.connection, id=request.parent_id, reference_id=request.parent_reference_id)
        if found is None:
            raise ApiError(
                404, f"there is no log {request.parent_id or request.parent_reference_id!r:.80} to be the parent"
            )
        return found

    async def session(self, request: HasReferences) -> str | None:
        if request.session_id is not None:
            if not await session_exists(self.connection, request.session_id):
                raise ApiError(404, f"there is no session {request.session_id!r:.80}")
            return request.session_id
        if (reference := request.session_reference_id) is None:
            return None
        if self.create:
            await add_session(self.connection, reference)
        return _found(await session_id_by_reference(self.connection, reference))

    async def project(self, request: HasProject) -> str | None:
        if request.project_id is not None:
            project = await project_by_id(self.connection, request.project_id)
            if project is None:
                raise ApiError(404, f"there is no project {request.project_id!r:.80}")
            if request.project not in (None, project.name):
                raise ApiError(
                    422, f"`project` and `project_id` differ: {project.id} is {project.name!r:.80}; send one"
                )
            return project.id
        if request.project is None:
            return None
        if self.create:
            await add_project(self.connection, request.project)
        found: Project = _found(await project_by_name(self.connection, request.project))
        return found.id

    async def config(self, new: InlineConfig, project_id: str | None) -> str:
        if self.create:
            name, description = new.request.name, new.request.description
            await add_config(self.connection, new.config, project_id=project_id, name=name, description=description)
        return _found(await config_id_by_identity(self.connection, new.config.identity(project_id)))


def _found(value: T | None) -> T:
    if value is None:
        raise NotFound
    return value
