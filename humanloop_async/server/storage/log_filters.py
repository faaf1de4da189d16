"""Filters and sort order of `ListLogsQuery` as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Float, Text, UnaryExpression, case, cast, false, func, or_, select, type_coerce

from ...types import ListLogsQuery
from .columns import to_utc
from .evaluation_results import has_value
from .log_contents import shared_contains
from .schema import feedback, logs, model_configs
from .search import contains


def conditions(query: ListLogsQuery, *, on_sqlite: bool, by_filter: bool = False) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a list's logs.

    Args:
        query: The list.
        on_sqlite: Whether the database is SQLite.
        by_filter: Find the logs by the index of a filter that has one, and not in their order.
    """
    if on_sqlite and by_filter and has_indexed_filter(query):
        # Without statistics SQLite would scan the whole project. An expression that is in no index makes it use the
        # indexes of configurations, feedback or results.
        yield logs.c.project_id.concat("") == query.project_id
    else:
        yield logs.c.project_id == query.project_id
    if query.search:
        yield or_(
            contains(logs.c.output, logs.c.output_folded, query.search, on_sqlite=on_sqlite),
            contains(logs.c.inputs, logs.c.inputs_folded, query.search, on_sqlite=on_sqlite),
            shared_contains("inputs", query.search, query.project_id, on_sqlite=on_sqlite),
        )
    if query.metadata_search:
        yield or_(
            contains(logs.c.metadata, logs.c.metadata_folded, query.metadata_search, on_sqlite=on_sqlite),
            shared_contains("metadata", query.metadata_search, query.project_id, on_sqlite=on_sqlite),
        )
    if query.start_date is not None:
        yield logs.c.created_at >= _parse_time(query.start_date, time.min)
    if query.end_date is not None:
        yield logs.c.created_at <= _parse_time(query.end_date, time.max)
    if query.source_filter:
        yield logs.c.source.in_(query.source_filter)
    if query.model_filter:
        yield logs.c.config_id.in_(select(model_configs.c.id).where(model_configs.c.model.in_(query.model_filter)))
    if query.source_datapoint_id is not None:
        yield logs.c.source_datapoint_id == query.source_datapoint_id
    if query.session_id is not None:
        yield logs.c.session_id == query.session_id
    if query.request_id is not None:
        yield logs.c.request_id == query.request_id
    for kind, values in (query.feedback_filter or {}).items():
        given = select(feedback.c.log_id).where(feedback.c.type == kind, feedback.c.value.in_(values))
        yield logs.c.id.in_(given)
    for evaluator_id, values in (query.evaluator_filter or {}).items():
        yield has_value(evaluator_id, values)
    if query.version_status not in (None, "committed"):
        yield false()  # every configuration is committed


def order_of(sort: Sequence[str] | None) -> Iterator[UnaryExpression[Any]]:
    """Yield the sort order, by default newest first. It is total, so that pages do not overlap."""
    for entry in sort or ():
        name, _, direction = entry.rpartition(".")
        if name == "timestamp":
            yield from _by_time(newest_first=direction == "desc")
            return  # the order is total
        for column in _columns(name):
            # NULLs last in both directions; the defaults of the databases differ.
            yield (column.desc() if direction == "desc" else column.asc()).nulls_last()
    yield from _by_time(newest_first=True)


def number_of_filters(query: ListLogsQuery) -> int:
    """Return the number of values of all filters of a list. Each may cost a search of the project."""
    lists = [query.source_filter, query.model_filter, *(query.feedback_filter or {}).values()]
    lists += (query.evaluator_filter or {}).values()
    return sum(len(values) for values in lists if values is not None)


def has_indexed_filter(query: ListLogsQuery) -> bool:
    """Return whether a list has a filter by the indexes of configurations, feedback or results."""
    return bool(query.model_filter or query.feedback_filter or query.evaluator_filter)


def reads_every_log(query: ListLogsQuery) -> bool:
    """Return whether a list has to read or sort every log of the project, for lack of an index."""
    by_column = any(not entry.startswith("timestamp.") for entry in query.sort or ())
    filters = query.model_filter or query.feedback_filter or query.evaluator_filter
    return bool(query.search or query.metadata_search or query.request_id or filters or by_column)


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
    """Return the condition of the logs of a day and, in a list by time, after it."""
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
        # Numbers sort by value. Only numbers and booleans have a `typed_value`.
        is_number = type_coerce(feedback.c.typed_value, Text).not_in(["true", "false"])
        number = case((is_number, cast(feedback.c.value, Float)))
        for value in (number, feedback.c.value):
            yield select(func.max(value)).where(*of_kind).scalar_subquery()


def _parse_time(text: str, of_day: time) -> datetime:
    """Parse a date or a time; a date means that date at `of_day`."""
    try:
        return datetime.combine(date.fromisoformat(text), of_day, UTC)
    except ValueError:
        return to_utc(datetime.fromisoformat(text))
