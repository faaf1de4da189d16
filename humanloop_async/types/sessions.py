"""``/sessions``: groups of logs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .shared import ApiObject, DateTime, Json, PageSize, Response


class ListSessionsQuery(ApiObject, kw_only=True):
    """Query of ``GET /sessions``.

    Attributes:
        project_id: Id of the project whose logs the sessions have.
        page: Number of the page; the first one is 1.
        size: Records per page, at most 1,000.
    """

    project_id: str
    page: Annotated[int, Meta(ge=1, le=10**9)] = 1
    size: PageSize = 10


class CreateSessionResponse(Response, kw_only=True):
    """A new session."""

    id: str


class SessionProjectResponse(ApiObject, kw_only=True):
    """A project that has logs in a session."""

    id: str
    name: str
    type: Literal["prompt", "tool", "dataset", "evaluator", "flow"]


class SessionResponse(Response, kw_only=True):
    """A session.

    Attributes:
        reference_id: Your identifier of the session.
        datapoints_count: The number of its logs.
        first_inputs: The inputs of its first log.
        last_output: The output of its last log.
    """

    id: str
    projects: list[SessionProjectResponse]
    datapoints_count: int
    created_at: DateTime
    updated_at: DateTime
    reference_id: str | None = None
    first_inputs: dict[str, Json] | None = None
    last_output: str | None = None
