"""``POST /feedback``, and the types of feedback of a project."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import field

from .shared import ApiObject, DateTime, Response

FeedbackValue: TypeAlias = bool | int | float | list[str] | str
FeedbackClass: TypeAlias = Literal["select", "multi_select", "text", "number"]
LabelSentiment: TypeAlias = Literal["positive", "negative", "neutral", "unset"]


class FeedbackFields(ApiObject, kw_only=True):
    """The fields of feedback in requests and responses.

    Attributes:
        type: Name of the type: "rating", "action", "issue", "correction", "comment", or another one of the project.
        data_id: Id of the log.
        user: Your identifier of the person who gave the feedback.
        created_at: When the feedback was given; now if absent.
    """

    type: str
    data_id: str | None = None
    user: str | None = None
    created_at: DateTime | None = None


class Feedback(FeedbackFields, kw_only=True):
    """Feedback that is part of a log.

    Attributes:
        value: The label, text, number or bool.
        data_id: Ignored: the feedback is on the log that it is part of.
    """

    value: FeedbackValue


class FeedbackRequest(FeedbackFields, kw_only=True):
    """``POST /feedback``, one or a list of them.

    Attributes:
        value: The label, text, number or bool. Leave it out to unset a single-valued type.
        unset: Whether to remove the feedback instead of adding it.
    """

    value: FeedbackValue | None = None
    unset: bool | None = None


class FeedbackResponse(FeedbackFields, Response, kw_only=True):
    """Stored feedback.

    Attributes:
        id: Id of the feedback.
        value: The label, text, number or bool.
    """

    id: str
    value: FeedbackValue


class FeedbackLabelRequest(ApiObject, kw_only=True):
    """A value that feedback of a type can have.

    Attributes:
        value: The label.
        sentiment: Sentiment of the label.
    """

    value: str
    sentiment: LabelSentiment | None = None


class FeedbackTypeRequest(ApiObject, kw_only=True):
    """A type of feedback to create, or to add labels to.

    Attributes:
        type: Name of the type.
        values: The labels of a "select" or "multi_select" type.
        class_: How values are given: one label, several labels, a text or a number.
    """

    type: str
    values: list[FeedbackLabelRequest] | None = None
    class_: FeedbackClass | None = field(name="class", default=None)  # "class" is a keyword


class CategoricalFeedbackLabel(ApiObject, kw_only=True):
    """A value that feedback of a type can have."""

    value: str
    sentiment: LabelSentiment


class FeedbackTypeModel(Response, kw_only=True):
    """A type of feedback that a project has.

    Attributes:
        class_: Class of the type's values. Not part of v4.
    """

    type: str
    values: list[CategoricalFeedbackLabel] | None = None
    class_: FeedbackClass | None = field(name="class", default=None)


class PositiveLabel(ApiObject, kw_only=True):
    """Feedback that counts as a success of an experiment's configuration.

    Attributes:
        type: Type of the feedback.
        value: Label of the feedback.
    """

    type: str
    value: str
