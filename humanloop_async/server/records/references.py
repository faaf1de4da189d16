"""Resolve what a request refers to: project, session, parent and configuration. Some are created on first use."""

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
"""Longest name of a project, source, and reference id of a session or a log, in characters."""

T = TypeVar("T")


class HasProject(Protocol):
    """A request with a project."""

    project: str | None
    project_id: str | None


class HasReferences(HasProject, Protocol):
    """A request that creates logs."""

    session_id: str | None
    session_reference_id: str | None
    parent_id: str | None
    parent_reference_id: str | None
    source: str | None


class CallContext(Struct, frozen=True, kw_only=True):
    """The resolved references of a call, which its logs and its response contain.

    Attributes:
        environment: Name of the environment, if the call uses a deployed configuration.
        trial: The trial, if the call uses an experiment.
    """

    project_id: str | None
    config_id: str
    session_id: str | None
    parent_id: str | None
    environment: str | None = None
    trial: Trial | None = None


class InlineConfig(Struct, frozen=True):
    """A configuration that was sent with the request, and the request's fields for it, such as its name."""

    config: ModelConfig
    request: ModelConfigFields


class NotFound(Exception):
    """A reference does not exist yet, and the resolver must not create it."""


def check_references(request: HasReferences, *loc: str | int) -> None:
    """Check the references of a request, which is at the path `loc` of the body, without the database.

    Raises:
        ApiError: A name is empty or too long, or two references exclude each other (422).
    """
    for name in ("project", "session_reference_id"):
        value: str | None = getattr(request, name)
        if value is not None and not 0 < len(value) <= MAX_NAME_CHARS:
            raise InvalidRequest.at(*loc, name, msg=f"must have 1 to {MAX_NAME_CHARS} characters")
    if len(request.source or "") > MAX_NAME_CHARS:  # it is indexed
        raise InvalidRequest.at(*loc, "source", msg=f"must have at most {MAX_NAME_CHARS} characters")
    for first, second in (("session_id", "session_reference_id"), ("parent_id", "parent_reference_id")):
        if getattr(request, first) is not None and getattr(request, second) is not None:
            raise ApiError(422, f"`{first}` and `{second}` exclude each other; send one")


async def resolve_references(
    database: Database,
    request: GenerationRequest,
    config: InlineConfig | str,
    *,
    project_id: str | None = None,
    environment: str | None = None,
    trial: Trial | None = None,
) -> CallContext:
    """Find or create what a call refers to. Concurrent calls get the same rows.

    Args:
        database: Where to find or create the records.
        request: The call.
        config: The configuration that was sent with the request, or the id of an existing one.
        project_id: Id of the project if it is known; None uses the one that the request names.
        environment: Passed on to the context.
        trial: Passed on to the context.

    Raises:
        ApiError: Something that must exist does not (404), or two references contradict each other (422).
    """

    async def resolve(connection: AsyncConnection, *, create: bool) -> CallContext:
        resolver = ReferenceResolver(connection, create=create)
        # First what must exist, so that a rejected call creates nothing.
        parent_id, session_id = await resolver.parent_and_session(request)
        project = project_id or await resolver.project(request)
        return CallContext(
            project_id=project,
            config_id=config if isinstance(config, str) else await resolver.config(config, project),
            session_id=session_id,
            parent_id=parent_id,
            environment=environment,
            trial=trial,
        )

    try:  # usually everything exists, and reading takes no lock
        async with database.read() as connection:
            return await resolve(connection, create=False)
    except NotFound:
        async with database.write() as connection:
            return await resolve(connection, create=True)


class ReferenceResolver(Struct):
    """Looks up what requests refer to.

    Attributes:
        create: Whether to create missing records that v4 creates on first use; if False, they raise `NotFound`.
    """

    connection: AsyncConnection
    create: bool

    async def parent_and_session(self, request: HasReferences) -> tuple[str | None, str | None]:
        """Return the ids of the parent log and the session. By default, the session is that of the parent."""
        parent_id, parent_session = await self.parent(request)
        session_id = await self.session(request)
        if parent_id is not None and session_id is not None and session_id != parent_session:
            if parent_session is None:
                raise ApiError(
                    422, "the parent log has no session, so its children cannot have one; remove `session_id`"
                )
            raise ApiError(422, "the parent log belongs to another session; send that session, or none")
        return parent_id, session_id or parent_session

    async def parent(self, request: HasReferences) -> tuple[str | None, str | None]:
        """Return the id of the parent log and the id of its session."""
        if request.parent_id is None and request.parent_reference_id is None:
            return None, None
        parent = await session_of_log(self.connection, id=request.parent_id, reference_id=request.parent_reference_id)
        if parent is None:
            raise ApiError(404, f"there is no parent log {request.parent_id or request.parent_reference_id!r:.80}")
        return parent

    async def session(self, request: HasReferences) -> str | None:
        """Return the id of the session that the request names."""
        if request.session_id is not None:
            if not await session_exists(self.connection, request.session_id):
                raise ApiError(404, f"there is no session {request.session_id!r:.80}")
            return request.session_id
        if (reference := request.session_reference_id) is None:
            return None
        if self.create:
            await add_session(self.connection, reference)
        return _require(await session_id_by_reference(self.connection, reference))

    async def project(self, request: HasProject) -> str | None:
        """Return the id of the project that the request names."""
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
        by_name: Project = _require(await project_by_name(self.connection, request.project))
        return by_name.id

    async def config(self, inline: InlineConfig, project_id: str | None) -> str:
        """Return the id of the project's configuration with the same parameters."""
        config, name, description = inline.config, inline.request.name, inline.request.description
        if self.create:
            await add_config(self.connection, config, project_id=project_id, name=name, description=description)
        return _require(await config_id_by_identity(self.connection, config.identity(project_id)))


def _require(value: T | None) -> T:
    if value is None:
        raise NotFound
    return value
