"""Which logs of a project, in which order: `ListLogsQuery` as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Float, Text, UnaryExpression, case, cast, false, func, or_, select, type_coerce

from ...types import ListLogsQuery
from .columns import to_utc
from .schema import feedback, logs, model_configs
from .search import contains


def conditions(query: ListLogsQuery, *, on_sqlite: bool, counting: bool = False) -> Iterator[ColumnElement[bool]]:
    """What every log of a list must meet.

    Args:
        counting: It is about their number alone, whatever their order.
    """
    if on_sqlite and counting and (query.model_filter or query.feedback_filter):
        # SQLite keeps no statistics, and would walk through the whole project. An expression that no index has leads
        # it to the logs of those configurations, or with that feedback.
        yield logs.c.project_id.concat("") == query.project_id
    else:
        yield logs.c.project_id == query.project_id
    if query.search:
        yield or_(
            contains(logs.c.output, logs.c.output_folded, query.search, on_sqlite=on_sqlite),
            contains(logs.c.inputs, logs.c.inputs_folded, query.search, on_sqlite=on_sqlite),
        )
    if query.metadata_search:
        yield contains(logs.c.metadata, logs.c.metadata_folded, query.metadata_search, on_sqlite=on_sqlite)
    if query.start_date is not None:
        yield logs.c.created_at >= _moment(query.start_date, time.min)
    if query.end_date is not None:
        yield logs.c.created_at <= _moment(query.end_date, time.max)
    if query.source_filter:
        yield logs.c.source.in_(query.source_filter)
    if query.model_filter:
        yield logs.c.config_id.in_(select(model_configs.c.id).where(model_configs.c.model.in_(query.model_filter)))
    for kind, values in (query.feedback_filter or {}).items():
        given = select(feedback.c.log_id).where(feedback.c.type == kind, feedback.c.value.in_(values))
        yield logs.c.id.in_(given)
    if query.version_status not in (None, "committed") or query.evaluator_filter:
        yield false()  # every configuration here is committed, and no evaluator has seen a log yet


def order_of(sort: Sequence[str] | None) -> Iterator[UnaryExpression[Any]]:
    """The order, newest first unless `sort` says otherwise. It is always total, so that pages do not overlap."""
    for entry in sort or ():
        name, _, direction = entry.rpartition(".")
        if name == "timestamp":
            yield from _by_time(newest_first=direction == "desc")
            return  # no two logs are equal after this
        for column in _columns(name):
            # What has no value comes last, whichever way; databases differ on that by themselves.
            yield (column.desc() if direction == "desc" else column.asc()).nulls_last()
    yield from _by_time(newest_first=True)


def reads_every_log(query: ListLogsQuery) -> bool:
    """Whether no index leads to the logs of a list: every one in its project is read, or sorted."""
    by_column = any(not entry.startswith("timestamp.") for entry in query.sort or ())
    return bool(query.search or query.metadata_search or query.model_filter or query.feedback_filter or by_column)


def time_order(query: ListLogsQuery) -> Literal["asc", "desc"] | None:
    """Return the sort direction if the query lists all of a project's logs by time, else None."""
    if replace(query, sort=None, page=0, size=1) != ListLogsQuery(project_id=query.project_id, size=1):
        return None
    match query.sort:
        case None | [] | ["timestamp.desc"]:
            return "desc"
        case ["timestamp.asc"]:
            return "asc"
        case _:
            return None


def from_day(day: date, *, newest_first: bool) -> ColumnElement[bool]:
    """What the logs of a list by time meet, from its first one of a day on."""
    if newest_first:
        return logs.c.created_at <= datetime.combine(day, time.max, UTC)
    return logs.c.created_at >= datetime.combine(day, time.min, UTC)


def _by_time(*, newest_first: bool) -> Iterator[UnaryExpression[Any]]:
    for column in (logs.c.created_at, logs.c.id):
        yield column.desc() if newest_first else column.asc()


def _columns(name: str) -> Iterator[ColumnElement[Any]]:
    if name == "source":
        yield logs.c.source
    elif name == "model":
        yield select(model_configs.c.model).where(model_configs.c.id == logs.c.config_id).scalar_subquery()
    else:
        of_kind = feedback.c.log_id == logs.c.id, feedback.c.type == name.removeprefix("feedback-")
        # Numbers by their size; only they and booleans have a value that is not a text.
        is_number = type_coerce(feedback.c.typed_value, Text).not_in(["true", "false"])
        number = case((is_number, cast(feedback.c.value, Float)))
        for value in (number, feedback.c.value):
            yield select(func.max(value)).where(*of_kind).scalar_subquery()


def _moment(text: str, of_day: time) -> datetime:
    """The moment that a text names; of a date alone, that moment of its day."""
    try:
        return datetime.combine(date.fromisoformat(text), of_day, UTC)
    except ValueError:
        return to_utc(datetime.fromisoformat(text))
