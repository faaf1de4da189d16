"""Queries on ``feedback``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Row, bindparam, delete, exists, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import FeedbackResponse, FeedbackValue
from .feedback_types import BUILT_IN, WITH_LABELS
from .schema import feedback, feedback_types, logs, model_configs


class Origin(Struct, frozen=True):
    """The project and the configuration that a log belongs to."""

    project_id: str
    config_id: str | None


class FeedbackRow(Struct, kw_only=True):
    """One value of feedback; the fields are columns of ``feedback``."""

    id: str
    log_id: str
    config_id: str | None
    type: str
    value: str
    typed_value: FeedbackValue | None
    user: str | None
    created_at: datetime


_columns = [feedback.c[name] for name in FeedbackRow.__struct_fields__]


async def lock_logs(connection: AsyncConnection, log_ids: Collection[str]) -> Mapping[str, Origin]:
    """Lock logs until the transaction ends, and return the origins of those that exist.

    The lock serialises feedback on a log, so that two calls cannot both insert a rating. A unique index could not
    ensure that: it would include texts of any length.
    """
    query = select(logs.c.id, logs.c.project_id, logs.c.config_id).where(logs.c.id.in_(log_ids))
    # In one order, which prevents deadlocks of two batches. SQLite has one writer and needs no lock.
    locked = query.order_by(logs.c.id).with_for_update(key_share=True)
    return {row.id: Origin(row.project_id, row.config_id) for row in await connection.execute(locked)}


async def current_feedback(
    connection: AsyncConnection, log_ids: Collection[str], kinds: Collection[str], users: Collection[str | None]
) -> list[FeedbackRow]:
    """Return the feedback on logs of certain kinds and by certain users, oldest first."""
    by_user = feedback.c.user.in_([user for user in users if user is not None])
    query = select(*_columns).where(
        feedback.c.log_id.in_(log_ids),
        feedback.c.type.in_(kinds),
        or_(by_user, feedback.c.user.is_(None)) if None in users else by_user,
    )
    rows = await connection.execute(query.order_by(feedback.c.created_at, feedback.c.id))
    return [FeedbackRow(**row._mapping) for row in rows]


async def replace_feedback(connection: AsyncConnection, old: Collection[str], new: Sequence[FeedbackRow]) -> None:
    """Delete feedback by id, and insert new feedback."""
    if old:
        await connection.execute(delete(feedback).where(feedback.c.id == bindparam("old")), [{"old": id} for id in old])
    if new:
        await connection.execute(insert(feedback), [msgspec.structs.asdict(row) for row in new])


async def feedback_of(connection: AsyncConnection, log_ids: Collection[str]) -> Mapping[str, list[FeedbackResponse]]:
    """Return the feedback on each log, oldest first; logs without feedback are missing."""
    query = select(*_columns).where(feedback.c.log_id.in_(log_ids)).order_by(feedback.c.created_at, feedback.c.id)
    found: dict[str, list[FeedbackResponse]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.log_id, []).append(_response(row))
    return found


async def label_counts(
    connection: AsyncConnection, config_ids: Collection[str]
) -> Mapping[str, list[tuple[str, str, int]]]:
    """Count the labels on the logs of each configuration: kind, value and number.

    Configurations without labels are missing. Kinds without labels are not counted, since every comment would count as
    a separate value.
    """
    of_project = (feedback_types.c.project_id == model_configs.c.project_id, feedback_types.c.type == feedback.c.type)
    has_labels = or_(
        feedback.c.type.in_([kind for kind, feedback_class in BUILT_IN.items() if feedback_class in WITH_LABELS]),
        exists().where(*of_project, feedback_types.c["class"].in_(WITH_LABELS)),
    )
    label = feedback.c.config_id, feedback.c.type, feedback.c.value
    query = (
        select(*label, func.count())
        .join(model_configs, model_configs.c.id == feedback.c.config_id)
        .where(feedback.c.config_id.in_(config_ids), has_labels)
        .group_by(*label)
        .order_by(*label)
    )
    found: dict[str, list[tuple[str, str, int]]] = {}
    for config_id, kind, value, number in await connection.execute(query):
        found.setdefault(config_id, []).append((kind, value, number))
    return found


def _response(row: Row[*tuple[Any, ...]]) -> FeedbackResponse:
    return FeedbackResponse(
        id=row.id,
        type=row.type,
        value=row.value if row.typed_value is None else row.typed_value,
        data_id=row.log_id,
        user=row.user,
        created_at=row.created_at,
    )
