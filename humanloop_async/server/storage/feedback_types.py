"""Kinds of feedback, and the labels of kinds of class ``select`` and ``multi_select``.

Every project has the five kinds of `BUILT_IN`, which have no rows. ``feedback_types`` holds the kinds that were added
to a project, and ``feedback_labels`` the labels that were added to a project's kinds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    CategoricalFeedbackLabel,
    FeedbackClass,
    FeedbackLabelRequest,
    FeedbackTypeModel,
    LabelSentiment,
)
from .columns import utc_now
from .schema import feedback_labels, feedback_types
from .statements import dialect_insert, insert_or_ignore

BUILT_IN: Mapping[str, FeedbackClass] = {
    "rating": "select",
    "action": "multi_select",
    "issue": "multi_select",
    "correction": "text",
    "comment": "text",
}
"""The kinds of every project."""

WITH_LABELS: Collection[FeedbackClass] = ("select", "multi_select")
"""The classes whose values are labels."""

_BUILT_IN_LABELS: Mapping[str, Sequence[CategoricalFeedbackLabel]] = {
    "rating": (
        CategoricalFeedbackLabel(value="good", sentiment="positive"),
        CategoricalFeedbackLabel(value="bad", sentiment="negative"),
    )
}


async def feedback_classes(
    connection: AsyncConnection, project_ids: Collection[str]
) -> Mapping[str, Mapping[str, FeedbackClass]]:
    """Return the class of each kind, by project."""
    query = select(feedback_types.c.project_id, feedback_types.c.type, feedback_types.c["class"])
    rows = await connection.execute(
        query.where(feedback_types.c.project_id.in_(project_ids)).order_by("created_at", "type")
    )
    known: dict[str, dict[str, FeedbackClass]] = {project_id: dict(BUILT_IN) for project_id in project_ids}
    for project_id, kind, feedback_class in rows:
        known[project_id][kind] = feedback_class
    return known


async def feedback_types_of(
    connection: AsyncConnection, project_ids: Collection[str]
) -> Mapping[str, list[FeedbackTypeModel]]:
    """Return each project's kinds and labels as in v4's project responses. Kinds without labels have None."""
    classes = await feedback_classes(connection, project_ids)
    labels = {
        (project_id, kind): {label.value: label for label in _BUILT_IN_LABELS.get(kind, ())}
        for project_id, kinds in classes.items()
        for kind, feedback_class in kinds.items()
        if feedback_class in WITH_LABELS
    }
    query = select(
        feedback_labels.c.project_id, feedback_labels.c.type, feedback_labels.c.value, feedback_labels.c.sentiment
    ).where(feedback_labels.c.project_id.in_(project_ids))
    for project_id, kind, value, sentiment in await connection.execute(query.order_by(feedback_labels.c.created_at)):
        labels[project_id, kind][value] = CategoricalFeedbackLabel(value=value, sentiment=sentiment)
    return {
        project_id: [
            FeedbackTypeModel(
                type=kind, values=[*labels.get((project_id, kind), {}).values()] or None, class_=feedback_class
            )
            for kind, feedback_class in kinds.items()
        ]
        for project_id, kinds in classes.items()
    }


async def add_feedback_type(
    connection: AsyncConnection, project_id: str, kind: str, feedback_class: FeedbackClass
) -> None:
    """Add a kind to a project unless it has it."""
    if kind not in BUILT_IN:
        values = {"project_id": project_id, "type": kind, "class": feedback_class, "created_at": utc_now()}
        await insert_or_ignore(connection, feedback_types, values)


async def save_labels(
    connection: AsyncConnection, project_id: str, kind: str, labels: Collection[FeedbackLabelRequest]
) -> None:
    """Add labels to a project's kind, and set the sentiment of those that exist, if one is given."""
    await add_labels(connection, project_id, kind, labels)
    for label in labels:
        if label.sentiment is not None:
            await set_sentiment(connection, project_id, kind, label.value, label.sentiment)


async def set_sentiment(
    connection: AsyncConnection, project_id: str, kind: str, value: str, sentiment: LabelSentiment
) -> None:
    """Set the sentiment of a label; a label that does not exist is added."""
    row = {"project_id": project_id, "type": kind, "value": value, "sentiment": sentiment, "created_at": utc_now()}
    statement = dialect_insert(connection, feedback_labels).values(row)
    key = [column.name for column in feedback_labels.primary_key]
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_={"sentiment": sentiment}))


async def add_labels(
    connection: AsyncConnection, project_id: str, kind: str, labels: Collection[FeedbackLabelRequest]
) -> None:
    """Add labels to a project's kind; existing ones stay. The default sentiment is "unset"."""
    built_in = {label.value for label in _BUILT_IN_LABELS.get(kind, ())}
    now = utc_now()
    rows = [
        {
            "project_id": project_id,
            "type": kind,
            "value": label.value,
            "sentiment": label.sentiment or "unset",
            "created_at": now + timedelta(microseconds=index),  # responses list them in this order
        }
        for index, label in enumerate(labels)
        if label.value not in built_in
    ]
    if rows:
        await connection.execute(dialect_insert(connection, feedback_labels).on_conflict_do_nothing(), rows)


async def set_positive_labels(
    connection: AsyncConnection, project_id: str, labels: Collection[tuple[str, str]]
) -> None:
    """Set the project's positive labels, each a kind and a value; labels that were positive become "unset"."""
    known = (await feedback_types_of(connection, [project_id]))[project_id]
    positive = {
        (kind.type, label.value) for kind in known for label in kind.values or () if label.sentiment == "positive"
    }
    sentiments: dict[tuple[str, str], LabelSentiment] = {
        **dict.fromkeys(positive, "unset"),
        **dict.fromkeys(labels, "positive"),
    }
    for (kind, value), sentiment in sentiments.items():
        await set_sentiment(connection, project_id, kind, value, sentiment)
