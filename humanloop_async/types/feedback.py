"""``POST /feedback``, and the kinds of feedback a project knows."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from .shared import DateTime, Response

FeedbackValue: TypeAlias = bool | int | float | list[str] | str
FeedbackClass: TypeAlias = Literal["select", "multi_select", "text", "number"]
LabelSentiment: TypeAlias = Literal["positive", "negative", "neutral", "unset"]


class Feedback(Struct, kw_only=True):
    """Feedback that rides along with a log. `type`: rating, action, issue, correction, comment, or one of your own."""

    type: str
    value: FeedbackValue
    data_id: str | None = None
    user: str | None = None
    created_at: DateTime | None = None


class FeedbackRequest(Struct, kw_only=True):
    """``POST /feedback``, one or a list of them. `unset` takes the feedback back."""

    type: str
    value: FeedbackValue | None = None
    data_id: str | None = None
    user: str | None = None
    created_at: DateTime | None = None
    unset: bool | None = None


class FeedbackResponse(Response, kw_only=True):
    """Stored feedback."""

    id: str
    type: str
    value: FeedbackValue
    data_id: str | None = None
    user: str | None = None
    created_at: DateTime | None = None


class FeedbackLabelRequest(Struct, kw_only=True):
    """A value that a kind of feedback can have."""

    value: str
    sentiment: LabelSentiment | None = None


class FeedbackTypeRequest(Struct, kw_only=True):
    """A kind of feedback to create. `class_` is ``class`` in JSON."""

    type: str
    values: list[FeedbackLabelRequest] | None = None
    class_: FeedbackClass | None = field(name="class", default=None)


class CategoricalFeedbackLabel(Struct, kw_only=True):
    """A value that a kind of feedback has."""

    value: str
    sentiment: LabelSentiment


class FeedbackTypeModel(Struct, kw_only=True):
    """A kind of feedback that a project knows."""

    type: str
    values: list[CategoricalFeedbackLabel] | None = None


class PositiveLabel(Struct, kw_only=True):
    """Feedback that counts as a success of an experiment's configuration."""

    type: str
    value: str
