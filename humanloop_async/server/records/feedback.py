"""Feedback: the values that each class of types accepts, what a value replaces, and how it is removed.

Each log has one current value per type and user, except for multi_select types, whose values add up.
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
"""Most values in one item of a multi_select type."""

MAX_VALUES = 20_000
"""Most values in one request. On SQLite, storing them blocks all other writes."""

MAX_NUMBER = 2.0**63
"""Largest absolute value of a number type."""

MAX_LABEL_CHARS = 255
"""Longest label of a select or multi_select type, in characters."""


async def record_feedback(
    connection: AsyncConnection, origins: Mapping[str, Origin], requests: Mapping[BodyPath, FeedbackRequest]
) -> list[FeedbackResponse]:
    """Store, replace and remove feedback, in the order of the requests.

    Args:
        connection: A connection in a write transaction.
        origins: Project and configuration of the logs, by log id.
        requests: The requests, each with its `data_id`, by their paths in the body.

    Raises:
        ApiError: A type is unknown, a value is not valid for it, or there are too many values (422); or there is no
            feedback to remove (404).
    """
    if not requests:
        return []
    count = sum(len(item.value) if isinstance(item.value, list) else 1 for item in requests.values())
    if count > MAX_VALUES:
        raise InvalidRequest.at(msg=f"has {count} values of feedback; send at most {MAX_VALUES} values in one request")
    classes = await feedback_classes(connection, {origin.project_id for origin in origins.values()})
    stored = await _stored_feedback(
        connection, requests.values(), {kind for kinds in classes.values() for kind in kinds}
    )
    current: dict[tuple[str, str, str | None], dict[str, FeedbackRow]] = {}
    for row in stored:
        current.setdefault((row.log_id, row.type, row.user), {})[row.value] = row
    responses: list[FeedbackResponse] = []
    labels: dict[tuple[str, str], set[str]] = {}
    for loc, request in requests.items():
        assert request.data_id is not None
        origin, kind = origins[request.data_id], request.type
        project_id = origin.project_id
        rows = current.setdefault((request.data_id, kind, replace_nul(request.user)), {})
        with error_location(loc):
            response, values = _apply(rows, request.data_id, origin, classes[project_id], request)
        responses.append(response)
        if classes[project_id][kind] in WITH_LABELS:
            labels.setdefault((project_id, kind), set()).update(values)
    now = {row.id: row for rows in current.values() for row in rows.values()}
    before = {row.id for row in stored}
    await replace_feedback(connection, before - now.keys(), [row for id, row in now.items() if id not in before])
    for (project_id, kind), new in sorted(labels.items()):  # sorted, so that two calls cannot deadlock
        await add_labels(connection, project_id, kind, [FeedbackLabelRequest(value=value) for value in sorted(new)])
    return responses


async def _stored_feedback(
    connection: AsyncConnection, requests: Collection[FeedbackRequest], known: Collection[str]
) -> list[FeedbackRow]:
    """Return the feedback that the requests may replace or remove."""
    log_ids = {request.data_id for request in requests if request.data_id is not None}
    kinds = {request.type for request in requests}.intersection(known)
    return await current_feedback(connection, log_ids, kinds, {request.user for request in requests})


def _apply(
    current: dict[str, FeedbackRow],
    log_id: str,
    origin: Origin,
    classes: Mapping[str, FeedbackClass],
    request: FeedbackRequest,
) -> tuple[FeedbackResponse, Collection[str]]:
    """Apply a request to `current`, a user's feedback of one type on a log, by value.

    Returns:
        The response, and the values that were added.
    """
    kind = request.type
    if (feedback_class := classes.get(kind)) is None:
        raise ApiError(422, f"the project has no feedback type {kind!r:.80}; it has {', '.join(sorted(classes))}")
    values = {} if request.value is None else _values(kind, feedback_class, request.value)
    if request.unset:
        removed = [row for text, row in current.items() if not values or text in values]
        if not removed:
            raise ApiError(404, f"there is no such {kind!r:.80} feedback on log {log_id!r:.80} to remove")
        for row in removed:
            del current[row.value]
        first, *others = sorted(removed, key=lambda row: (row.created_at, row.id))
        if others:
            return _response(first, [row.value for row in (first, *others)]), ()
        return _response(first, first.value if first.typed_value is None else first.typed_value), ()
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
    return _response(next(iter(rows.values())), request.value), values


def _response(row: FeedbackRow, value: FeedbackValue) -> FeedbackResponse:
    return FeedbackResponse(
        id=row.id, type=row.type, value=value, data_id=row.log_id, user=row.user, created_at=row.created_at
    )


def _values(kind: str, feedback_class: FeedbackClass, value: FeedbackValue) -> dict[str, FeedbackValue | None]:
    """Return the values to store: each as text, with the original if that is not a text."""
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
            raise InvalidRequest.at(
                "value", msg=f"must be {_ACCEPTED[feedback_class]}, for the feedback type {kind!r:.80}"
            )


_ACCEPTED: Mapping[FeedbackClass, str] = {
    "number": f"a number of at most {MAX_NUMBER:g}",
    "text": "a text",
    "select": f"one label of 1 to {MAX_LABEL_CHARS} characters",
    "multi_select": f"a label of 1 to {MAX_LABEL_CHARS} characters, or a list of at most {MAX_LABELS}",
}


def _is_label(label: str) -> bool:
    return 0 < len(label) <= MAX_LABEL_CHARS


def _text(value: float) -> str:
    """Return a number or a boolean as JSON text, with 5.0 as 5."""
    whole = isinstance(value, float) and value.is_integer()
    return msgspec.json.encode(int(value) if whole else value).decode()
