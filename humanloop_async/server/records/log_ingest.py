"""Ingest logs of calls that other programs made (``POST /logs``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ConfigRequest, CreateLogResponse, Feedback, FeedbackRequest, LogRequest, ModelConfigRequest
from ..errors import ApiError, BodyPath, InvalidRequest, error_location
from ..ids import new_id
from ..storage.columns import to_utc
from ..storage.configs import config_exists, config_id_by_identity, get_or_create_other_config
from ..storage.database import Database
from ..storage.evaluation_steps import queue_active_evaluators
from ..storage.experiments import origin_of_trial
from ..storage.feedback import Origin
from ..storage.log_counts import count_logs
from ..storage.logs import NewLog, existing_references, insert_logs
from ..storage.model_config import ModelConfig
from .feedback import record_feedback
from .references import MAX_NAME_CHARS, InlineConfig, ReferenceResolver, check_references

T = TypeVar("T")

_RESOLVED = {"project_id", "config_id", "session_id", "parent_id", "created_at"}
# The other columns are copied from the request's field of the same name.
_COPIED = {*NewLog.__struct_fields__}.intersection(LogRequest.__struct_fields__) - _RESOLVED


async def ingest_logs(database: Database, requests: Mapping[BodyPath, LogRequest]) -> list[CreateLogResponse]:
    """Store logs and the feedback on them, in one transaction.

    Args:
        database: Where to store the logs.
        requests: The logs, by their paths in the body.

    Raises:
        ApiError: One of them contradicts itself or another (422), or something it refers to does not exist (404).
    """
    if not requests:
        return []
    for loc, request in requests.items():
        with error_location(loc):
            _check(request)
    references = [request.reference_id for request in requests.values() if request.reference_id is not None]
    _check_batch(requests, references)
    try:
        async with database.write() as connection:
            if known := await existing_references(connection, references):
                raise _reference_in_use(min(known))
            rows = await _Ingester(connection, ReferenceResolver(connection, create=True)).rows(requests)
            await insert_logs(connection, rows)
            origins = {row.id: Origin(row.project_id, row.config_id) for row in rows}
            await record_feedback(connection, origins, _feedback(rows, requests))
            await queue_active_evaluators(connection, [row.id for row in rows])
            await count_logs(connection, [(row.project_id, row.created_at) for row in rows])
    except IntegrityError as exc:
        # Another call inserted a log with the same reference after the check.
        async with database.read() as connection:
            known = await existing_references(connection, references)
        if not known:
            raise
        raise _reference_in_use(min(known)) from exc
    return [_response(row, request) for row, request in zip(rows, requests.values(), strict=True)]


def _check(request: LogRequest) -> None:
    check_references(request)
    reference = request.reference_id
    if reference is not None and not 0 < len(reference) <= MAX_NAME_CHARS:
        raise InvalidRequest.at("reference_id", msg=f"must have 1 to {MAX_NAME_CHARS} characters")
    if request.config is None and request.config_id is None and request.trial_id is None:
        raise ApiError(422, "one of `config`, `config_id` and `trial_id` is required")
    if request.config is not None and request.config_id is not None:
        raise ApiError(422, "`config` and `config_id` exclude each other; send one")
    if request.project is None and request.project_id is None and request.trial_id is None:
        raise ApiError(422, "`project` or `project_id` is required, unless the log has a `trial_id`")


def _check_batch(requests: Mapping[BodyPath, LogRequest], references: Sequence[str]) -> None:
    in_batch = set(references)
    if len(in_batch) < len(references):
        raise _reference_in_use(next(reference for reference, number in Counter(references).items() if number > 1))
    for loc, request in requests.items():
        if (parent := request.parent_reference_id) in in_batch:
            with error_location(loc):
                raise ApiError(422, f"the parent {parent!r:.80} is in the same batch; send it in an earlier request")


def _reference_in_use(reference: str) -> ApiError:
    return ApiError(422, f"the `reference_id` {reference!r:.80} is already in use; update that log, or use another")


class _Ingester(Struct):
    """Finds or creates what the logs of a batch refer to, each record once."""

    connection: AsyncConnection
    resolver: ReferenceResolver
    resolved: dict[Hashable, object] = {}

    async def cached(self, find: Callable[[], Awaitable[T]], *key: Hashable) -> T:
        if key not in self.resolved:
            self.resolved[key] = await find()
        return cast("T", self.resolved[key])

    async def rows(self, requests: Mapping[BodyPath, LogRequest]) -> list[NewLog]:
        # Records are created table by table and sorted, so that two batches cannot deadlock.
        await self._each(requests, lambda request: request.session_reference_id or "", self.parent_and_session)
        await self._each(requests, lambda request: request.project or "", self.project)
        await self._each(requests, lambda request: msgspec.json.encode([request.project, request.config]), self.origin)
        return [await self.row(request) for request in requests.values()]

    async def _each(
        self,
        requests: Mapping[BodyPath, LogRequest],
        order: Callable[[LogRequest], str | bytes],
        find: Callable[[LogRequest], Awaitable[object]],
    ) -> None:
        for loc, request in sorted(requests.items(), key=lambda item: order(item[1])):
            with error_location(loc):
                await find(request)

    async def row(self, request: LogRequest) -> NewLog:
        parent_id, session_id = await self.parent_and_session(request)
        project_id, config_id = await self.origin(request)
        copied: dict[str, Any] = {name: getattr(request, name) for name in _COPIED}
        return NewLog(
            id=new_id("data"),
            project_id=project_id,
            config_id=config_id,
            session_id=session_id,
            parent_id=parent_id,
            status="complete" if request.error is None else "error",
            created_at=to_utc(request.created_at or datetime.now(UTC)),
            **copied,
        )

    async def parent_and_session(self, request: LogRequest) -> tuple[str | None, str | None]:
        session = request.session_id, request.session_reference_id
        parent = request.parent_id, request.parent_reference_id
        return await self.cached(partial(self.resolver.parent_and_session, request), "session", *session, *parent)

    async def project(self, request: LogRequest) -> str | None:
        find = partial(self.resolver.project, request)
        return await self.cached(find, "project", request.project, request.project_id)

    async def origin(self, request: LogRequest) -> tuple[str, str]:
        """Return the ids of the project and the configuration. A trial determines both."""
        project_id = await self.project(request)
        if request.trial_id is None:
            assert project_id is not None  # checked by `_check`
            find = partial(self.config, request, project_id)
            given = request.config_id if request.config is None else msgspec.json.encode(request.config)
            return project_id, await self.cached(find, "config", project_id, given)
        find_trial = partial(origin_of_trial, self.connection, request.trial_id)
        if (origin := await self.cached(find_trial, "trial", request.trial_id)) is None:
            raise ApiError(404, f"there is no trial {request.trial_id!r:.80}")
        for name, given, known in zip(("project", "config"), (project_id, request.config_id), origin, strict=True):
            if given not in (None, known):
                raise ApiError(422, f"the trial's {name} is {known}; send that one, or none")
        if request.config is not None and not await self.cached(
            partial(self.is_config, request.config, *origin),
            "trial",
            request.trial_id,
            msgspec.json.encode(request.config),
        ):
            raise ApiError(422, f"`config` differs from the trial's config, {origin[1]}; send that one, or none")
        return origin

    async def is_config(self, config: ConfigRequest, project_id: str, config_id: str) -> bool:
        """Return whether a configuration that was sent with a log is the stored one with this id."""
        if not isinstance(config, ModelConfigRequest):
            return False
        identity = ModelConfig.from_request(config).identity(project_id)
        return await config_id_by_identity(self.connection, identity) == config_id

    async def config(self, request: LogRequest, project_id: str) -> str:
        match request.config:
            case None:
                assert request.config_id is not None  # checked by `_check`
                if not await config_exists(self.connection, request.config_id):
                    raise ApiError(404, f"there is no config {request.config_id!r:.80}")
                return request.config_id
            case ModelConfigRequest() as config:
                return await self.resolver.config(InlineConfig(ModelConfig.from_request(config), config), project_id)
            case other:
                return await get_or_create_other_config(self.connection, other, project_id)


def _feedback(rows: Sequence[NewLog], requests: Mapping[BodyPath, LogRequest]) -> Mapping[BodyPath, FeedbackRequest]:
    """Return the feedback that was sent with the logs, by its paths in the body."""
    feedback: dict[BodyPath, FeedbackRequest] = {}
    for row, (loc, request) in zip(rows, requests.items(), strict=True):
        path: BodyPath = (*loc, "feedback")
        match request.feedback:
            case Feedback() as item:
                items = {path: item}
            case items_or_none:
                items = {(*path, index): item for index, item in enumerate(items_or_none or ())}
        for item_path, item in items.items():
            feedback[item_path] = FeedbackRequest(
                type=item.type, value=item.value, user=item.user, created_at=item.created_at, data_id=row.id
            )
    return feedback


def _response(row: NewLog, request: LogRequest) -> CreateLogResponse:
    has_session = request.session_id is not None or request.session_reference_id is not None
    return CreateLogResponse(id=row.id, project_id=row.project_id, session_id=row.session_id if has_session else None)
