"""Where a call belongs: its project, session, parent and configuration, made on first use where v4 says so."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from ..types import GenerationRequest, ModelConfigChatRequest, ModelConfigCompletionRequest
from .model_config import ModelConfig
from .refusals import Refusal
from .storage.configs import add_config, config_id_by_identity
from .storage.database import Database
from .storage.logs import session_of_log
from .storage.projects import Project, add_project, project_by_id, project_by_name
from .storage.sessions import add_session, session_exists, session_id_by_reference

T = TypeVar("T")


class Placement(Struct, frozen=True, kw_only=True):
    """The ids that a call's logs and answer carry."""

    project_id: str | None
    config_id: str
    session_id: str | None
    parent_id: str | None


class NewConfig(Struct, frozen=True):
    """A configuration that came with the request, and the name it was given there."""

    config: ModelConfig
    request: ModelConfigChatRequest | ModelConfigCompletionRequest


class _Missing(Exception):
    """Something is still to be made."""


async def place(database: Database, request: GenerationRequest, config: NewConfig | str) -> Placement:
    """Find or make what a call refers to; two racing calls get the same.

    Args:
        config: What came with the request, or the id of a configuration that exists.

    Raises:
        Refusal: Something that must exist does not (404), or two references contradict each other (422).
    """
    try:  # mostly all is there, and reading waits for nobody
        async with database.read() as connection:
            return await _Finder(connection, make=False).placement(request, config)
    except _Missing:
        async with database.write() as connection:
            return await _Finder(connection, make=True).placement(request, config)


class _Finder(Struct):
    connection: AsyncConnection
    make: bool

    async def placement(self, request: GenerationRequest, config: NewConfig | str) -> Placement:
        # What must exist comes first: a call that is refused should make nothing.
        parent_id, parents_session = await self.parent(request)
        session_id = await self.session(request)
        project_id = await self.project(request)
        if parent_id is not None and session_id is not None and session_id != parents_session:
            raise Refusal(422, "the parent log belongs to another session; name its session, or none")
        config_id = config if isinstance(config, str) else await self.config(config, project_id)
        return Placement(
            project_id=project_id, config_id=config_id, session_id=session_id or parents_session, parent_id=parent_id
        )

    async def parent(self, request: GenerationRequest) -> tuple[str | None, str | None]:
        if request.parent_id is None and request.parent_reference_id is None:
            return None, None
        found = await session_of_log(self.connection, id=request.parent_id, reference_id=request.parent_reference_id)
        if found is None:
            raise Refusal(
                404, f"there is no log {request.parent_id or request.parent_reference_id!r:.80} to be the parent"
            )
        return found

    async def session(self, request: GenerationRequest) -> str | None:
        if request.session_id is not None:
            if not await session_exists(self.connection, request.session_id):
                raise Refusal(404, f"there is no session {request.session_id!r:.80}")
            return request.session_id
        if (reference := request.session_reference_id) is None:
            return None
        if self.make:
            await add_session(self.connection, reference)
        return _found(await session_id_by_reference(self.connection, reference))

    async def project(self, request: GenerationRequest) -> str | None:
        if request.project_id is not None:
            project = await project_by_id(self.connection, request.project_id)
            if project is None:
                raise Refusal(404, f"there is no project {request.project_id!r:.80}")
            if request.project not in (None, project.name):
                raise Refusal(422, f"`project` and `project_id` differ: {project.id} is {project.name!r}; give one")
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
        raise _Missing
    return value
