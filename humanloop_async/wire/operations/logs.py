"""Logs, feedback, sessions."""

from __future__ import annotations

from types import NoneType

from ... import types as t
from .operation import AnyOperation, Operation

LOG = Operation(
    "Logs_log",
    "POST",
    "/logs",
    t.LogRequest,
    t.CreateLogResponse,
    "Store one log, or a list of them: all or none.",
    batch=True,
    creates=True,
)
LIST_LOGS = Operation(
    "Logs_list",
    "GET",
    "/logs",
    NoneType,
    t.PaginatedData[t.LogResponse],
    "A page of a project's logs.",
    query=t.ListLogsQuery,
)
GET_LOG = Operation("Logs_get", "GET", "/logs/{id}", NoneType, t.LogResponse, "One log.")
UPDATE_LOG = Operation(
    "Logs_update",
    "PATCH",
    "/logs/{id}",
    t.UpdateLogRequest,
    t.LogResponse,
    "Complete a log with what was not known when it was stored.",
)
UPDATE_LOG_BY_REF = Operation(
    "Logs_updateByRef",
    "PATCH",
    "/logs",
    t.UpdateLogRequest,
    t.LogResponse,
    "Complete the log that has a reference of the caller's.",
    query=t.ReferenceQuery,
)
DELETE_LOGS = Operation(
    "Logs_delete", "DELETE", "/logs", NoneType, NoneType, "Delete logs.", query=t.DeleteLogsQuery, status=204
)
FEEDBACK = Operation(
    "Feedback_feedback",
    "POST",
    "/feedback",
    t.FeedbackRequest,
    t.FeedbackResponse,
    "Say what somebody thinks of a log, or of several: all or none.",
    batch=True,
    creates=True,
)
LIST_SESSIONS = Operation(
    "Sessions_list",
    "GET",
    "/sessions",
    NoneType,
    t.PaginatedData[t.SessionResponse],
    "A page of the sessions that have logs of a project.",
    query=t.ListSessionsQuery,
)
CREATE_SESSION = Operation(
    "Sessions_create",
    "POST",
    "/sessions",
    NoneType,
    t.CreateSessionResponse,
    "Create an empty session.",
    status=201,
    creates=True,
)
GET_SESSION = Operation("Sessions_get", "GET", "/sessions/{id}", NoneType, t.SessionResponse, "One session.")

LOG_OPERATIONS: tuple[AnyOperation, ...] = (
    LOG,
    LIST_LOGS,
    GET_LOG,
    UPDATE_LOG,
    UPDATE_LOG_BY_REF,
    DELETE_LOGS,
    FEEDBACK,
    LIST_SESSIONS,
    CREATE_SESSION,
    GET_SESSION,
)
