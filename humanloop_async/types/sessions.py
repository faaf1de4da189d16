"""``/sessions``: logs that belong together."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .shared import DateTime, Json, PageSize, Response


class ListSessionsQuery(Struct, kw_only=True):
    """Query of ``GET /sessions``; the first page is 1."""

    project_id: str
    page: Annotated[int, Meta(ge=1, le=10**9)] = 1
    size: PageSize = 10


class CreateSessionResponse(Response, kw_only=True):
    """A new session."""

    id: str


class SessionProjectResponse(Struct, kw_only=True):
    """A project that a session has logs of."""

    id: str
    name: str
    type: Literal["prompt", "tool", "dataset", "evaluator", "flow"]


class SessionResponse(Response, kw_only=True):
    """A session. `first_inputs` and `last_output` are those of its first and last log."""

    id: str
    projects: list[SessionProjectResponse]
    datapoints_count: int
    created_at: DateTime
    updated_at: DateTime
    reference_id: str | None = None
    first_inputs: dict[str, Json] | None = None
    last_output: str | None = None
