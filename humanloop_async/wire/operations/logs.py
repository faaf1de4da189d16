"""Logs, feedback, sessions."""

from __future__ import annotations

from types import NoneType

from ... import types as t
from .operation import Operation, rows

LOG = Operation(
    "Logs_log",
    "POST",
    "/logs",
    t.LogRequest,
    t.CreateLogResponse,
    "Store a log, or a list of logs: all or none.",
    batch=True,
    creates=True,
    names=("log",),
)
LIST_LOGS = Operation(
    "Logs_list",
    "GET",
    "/logs",
    NoneType,
    t.PaginatedData[t.LogResponse],
    "List a project's logs, newest first.",
    query=t.ListLogsQuery,
)
GET_LOG = Operation("Logs_get", "GET", "/logs/{id}", NoneType, t.LogResponse, "Get a log.")
UPDATE_LOG = Operation(
    "Logs_update",
    "PATCH",
    "/logs/{id}",
    t.UpdateLogRequest,
    t.LogResponse,
    "Update a log with the output of a generation that has ended.",
)
UPDATE_LOG_BY_REF = Operation(
    "Logs_updateByRef",
    "PATCH",
    "/logs",
    t.UpdateLogRequest,
    t.LogResponse,
    "Update the log that was stored with a `reference_id`.",
    query=t.ReferenceQuery,
)
DELETE_LOGS = Operation(
    "Logs_delete",
    "DELETE",
    "/logs",
    NoneType,
    NoneType,
    "Delete logs by their ids.",
    query=t.DeleteLogsQuery,
    status=204,
)
FEEDBACK = Operation(
    "Feedback_feedback",
    "POST",
    "/feedback",
    t.FeedbackRequest,
    t.FeedbackResponse,
    "Give feedback on a log, or a list of feedback: all or none.",
    batch=True,
    creates=True,
    names=("feedback",),
)
LIST_SESSIONS = Operation(
    "Sessions_list",
    "GET",
    "/sessions",
    NoneType,
    t.PaginatedData[t.SessionResponse],
    "List the sessions that have logs of a project.",
    query=t.ListSessionsQuery,
)
CREATE_SESSION = Operation(
    "Sessions_create",
    "POST",
    "/sessions",
    NoneType,
    t.CreateSessionResponse,
    "Create an empty session.",
    "The first use of a `session_reference_id` creates a session, too.",
    status=201,
    creates=True,
)
GET_SESSION = Operation("Sessions_get", "GET", "/sessions/{id}", NoneType, t.SessionResponse, "Get a session.")

LOG_OPERATIONS = rows(globals())
