"""``/datasets`` and ``/datapoints``: inputs to evaluate configurations with, and the outputs they should have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from .projects import PageQuery
from .shared import ApiObject, ChatMessage, DateTime, Json, PageSize, Response

DatasetText: TypeAlias = Annotated[str, Meta(max_length=255)]


class CreateDatasetRequest(ApiObject, kw_only=True):
    """``POST /projects/{project_id}/datasets``.

    Attributes:
        name: Name of the dataset, at most 255 characters.
        description: Description of the dataset, at most 255 characters.
    """

    name: DatasetText
    description: DatasetText


class UpdateDatasetRequest(ApiObject, kw_only=True):
    """``PATCH /datasets/{id}``. Absent fields stay unchanged.

    Attributes:
        name: New name of the dataset, at most 255 characters.
        description: New description of the dataset, at most 255 characters.
    """

    name: DatasetText | None = None
    description: DatasetText | None = None


class DatasetResponse(Response, kw_only=True):
    """A dataset.

    Attributes:
        datapoint_count: The number of its datapoints.
        version: Number of its current version. Every change of its datapoints creates the next version.
    """

    id: str
    project_id: str
    name: str
    datapoint_count: int
    created_at: DateTime
    updated_at: DateTime
    description: str | None = None
    version: int | None = None


class DatapointFields(ApiObject, kw_only=True):
    """The fields of a datapoint in requests and responses.

    Attributes:
        inputs: Values for the ``{{ names }}`` of the template.
        messages: The messages that follow the template in a chat.
        target: The values that an evaluator compares with the generated log, such as ``{"output": "Paris"}``.
    """

    inputs: dict[str, str] | None = None
    messages: list[ChatMessage] | None = None
    target: dict[str, Json] | None = None


class CreateDatapointRequest(DatapointFields, kw_only=True):
    """``POST /datasets/{dataset_id}/datapoints``, one or a list of them.

    Attributes:
        log_ids: Ids of logs to copy, instead of the other fields: one datapoint for each log, with its inputs, its
            messages after the template, and its output as the ``output`` of `target`.
    """

    log_ids: list[str] | None = None

    def __post_init__(self) -> None:
        if self.log_ids is not None and any(
            getattr(self, name) is not None for name in DatapointFields.__struct_fields__
        ):
            raise ValueError("`log_ids` excludes `inputs`, `messages` and `target`")


class UpdateDatapointRequest(DatapointFields, kw_only=True):
    """``PATCH /datapoints/{id}``. Absent fields stay unchanged."""


class DatapointResponse(DatapointFields, Response, kw_only=True):
    """A datapoint.

    Attributes:
        updated_at: When its contents last changed.
        source_project_data_id: Id of the log that it is a copy of.
    """

    id: str
    dataset_id: str | None = None
    created_at: DateTime | None = None
    updated_at: DateTime | None = None
    source_project_data_id: str | None = None


class ListDatapointsQuery(PageQuery, kw_only=True):
    """Query of ``GET /datasets/{dataset_id}/datapoints``.

    Attributes:
        version: Number of the dataset's version to list; the current one if absent.
    """

    size: PageSize = 50
    version: int | None = None
