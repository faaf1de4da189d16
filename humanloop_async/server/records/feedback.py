"""Feedback: what each class of it takes, what it replaces, and how it is taken back.

There is one current value for each log, kind and user; the values of a multi_select kind add up instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import FeedbackClass, FeedbackLabelRequest, FeedbackRequest, FeedbackResponse, FeedbackValue
from ..errors import ApiError, BodyPath, InvalidRequest, error_location
from ..ids import new_id
from ..storage.columns import replace_nul, to_utc
from ..storage.feedback import FeedbackRow, Origin, current_feedback, replace_feedback
from ..storage.feedback_types import WITH_LABELS, add_labels, feedback_classes

MAX_LABELS = 100
"""Most values of a multi_select kind in one request."""

MAX_VALUES = 20_000
"""Most values in one request; on SQLite nobody else writes while they are stored."""

MAX_NUMBER = 2.0**63
"""Largest value of a number kind, positive or negative."""

MAX_LABEL_CHARS = 255
"""Longest value of a select kind, in characters."""


async def record_feedback(
    connection: AsyncConnection, origins: Mapping[str, Origin], requests: Mapping[BodyPath, FeedbackRequest]
) -> list[FeedbackResponse]:
    """Store, replace and take back, in the order given.

    Args:
        origins: What each log is of that the requests are about.
        requests: What to do, each with its `data_id`, by their places in the body.

    Raises:
        ApiError: A kind is unknown, a value does not fit it or they are too many (422), or there is nothing to take
            back (404).
    """
    if not requests:
        return []
    if sum(len(item.value) if isinstance(item.value, list) else 1 for item in requests.values()) > MAX_VALUES:
        raise InvalidRequest.at(msg=f"takes at most {MAX_VALUES} values of feedback at a time")
    classes = await feedback_classes(connection, {origin.project_id for origin in origins.values()})
    stored = await _stored(connection, requests.values(), {kind for kinds in classes.values() for kind in kinds})
    current: dict[tuple[str, str, str | None], dict[str, FeedbackRow]] = {}
    for row in stored:
        current.setdefault((row.log_id, row.type, row.user), {})[row.value] = row
    answers: list[FeedbackResponse] = []
    labels: dict[tuple[str, str], set[str]] = {}
    for loc, request in requests.items():
        assert request.data_id is not None
        origin, kind = origins[request.data_id], request.type
        project_id = origin.project_id
        rows = current.setdefault((request.data_id, kind, replace_nul(request.user)), {})
        with error_location(loc):
            answer, values = _record(rows, request.data_id, origin, classes[project_id], request)
        answers.append(answer)
        if classes[project_id][kind] in WITH_LABELS:
            labels.setdefault((project_id, kind), set()).update(values)
    now = {row.id: row for rows in current.values() for row in rows.values()}
    before = {row.id for row in stored}
    await replace_feedback(connection, before - now.keys(), [row for id, row in now.items() if id not in before])
    for (project_id, kind), new in sorted(labels.items()):  # in one order: two calls never wait for each other
        await add_labels(connection, project_id, kind, [FeedbackLabelRequest(value=value) for value in sorted(new)])
    return answers


async def _stored(
    connection: AsyncConnection, requests: Collection[FeedbackRequest], known: Collection[str]
) -> list[FeedbackRow]:
    """What there is where the requests are about to change something."""
    log_ids = {request.data_id for request in requests if request.data_id is not None}
    kinds = {request.type for request in requests}.intersection(known)
    return await current_feedback(connection, log_ids, kinds, {request.user for request in requests})


def _record(
    current: dict[str, FeedbackRow],
    log_id: str,
    origin: Origin,
    classes: Mapping[str, FeedbackClass],
    request: FeedbackRequest,
) -> tuple[FeedbackResponse, Collection[str]]:
    """Change what a log has of a kind from a user, by its values.

    Returns:
        The answer, and the values that were given.
    """
    kind = request.type
    if (feedback_class := classes.get(kind)) is None:
        raise ApiError(422, f"the project has no feedback type {kind!r:.80}; it has {', '.join(sorted(classes))}")
    values = {} if request.value is None else _values(kind, feedback_class, request.value)
    if request.unset:
        removed = [row for text, row in current.items() if not values or text in values]
        if not removed:
            raise ApiError(404, f"there is no such {kind!r:.80} feedback on {log_id!r:.80} to take back")
        for row in removed:
            del current[row.value]
        first, *others = sorted(removed, key=lambda row: (row.created_at, row.id))
        if others:
            return _answer(first, [row.value for row in (first, *others)]), ()
        return _answer(first, first.value if first.typed_value is None else first.typed_value), ()
    if request.value is None:
        raise InvalidRequest.at("value", msg="field required", kind="value_error.missing")
    if feedback_class != "multi_select":
        current.clear()
    created_at = to_utc(request.created_at or datetime.now(UTC))
    rows = {
        text: FeedbackRow(
            id=new_id("ann"),
            log_id=log_id,
            config_id=origin.config_id,
            type=kind,
            value=text,
            typed_value=typed,
            user=replace_nul(request.user),
            created_at=created_at,
        )
        for text, typed in values.items()
    }
    current |= rows
    return _answer(next(iter(rows.values())), request.value), values


def _answer(row: FeedbackRow, value: FeedbackValue) -> FeedbackResponse:
    return FeedbackResponse(
        id=row.id, type=row.type, value=value, data_id=row.log_id, user=row.user, created_at=row.created_at
    )


def _values(kind: str, feedback_class: FeedbackClass, value: FeedbackValue) -> dict[str, FeedbackValue | None]:
    """The values to store: each as text, with what it is when it is not a text."""
    match feedback_class, value:
        case "number", int() | float() if not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
            return {_text(value): value}
        case "text", str():
            return {replace_nul(value): None}
        case "select", [str(label)] | str(label) if _is_label(label):
            return {replace_nul(label): None}
        case "select", bool() | int() | float() if abs(value) <= MAX_NUMBER:
            return {_text(value): value}
        case "multi_select", str() if _is_label(value):
            return {replace_nul(value): None}
        case "multi_select", [_, *_] if len(value) <= MAX_LABELS and all(_is_label(label) for label in value):
            return dict.fromkeys(map(replace_nul, value))
        case _:
            raise InvalidRequest.at("value", msg=f"{kind!r:.80} takes {_TAKES[feedback_class]}")


_TAKES: Mapping[FeedbackClass, str] = {
    "number": f"a number of at most {MAX_NUMBER:g}",
    "text": "a text",
    "select": f"one label of 1 to {MAX_LABEL_CHARS} characters",
    "multi_select": f"a label of 1 to {MAX_LABEL_CHARS} characters, or a list of at most {MAX_LABELS}",
}


def _is_label(label: str) -> bool:
    return 0 < len(label) <= MAX_LABEL_CHARS


def _text(value: float) -> str:
    """A number, or a boolean, as text; 5.0 is 5, as it is in JSON."""
    whole = isinstance(value, float) and value.is_integer()
    return msgspec.json.encode(int(value) if whole else value).decode()
