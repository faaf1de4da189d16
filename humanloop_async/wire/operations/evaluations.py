"""Evaluators and evaluations."""

from __future__ import annotations

from types import NoneType

from ... import types as t
from .operation import Operation, rows

LIST_EVALUATORS = Operation(
    "Evaluators_list", "GET", "/evaluators", NoneType, t.ResponseList[t.EvaluatorResponse], "List all evaluators."
)
CREATE_EVALUATOR = Operation(
    "Evaluators_create",
    "POST",
    "/evaluators",
    t.CreateEvaluatorRequest,
    t.EvaluatorResponse,
    "Create an evaluator.",
    status=201,
    creates=True,
)
GET_EVALUATOR = Operation(
    "Evaluators_get", "GET", "/evaluators/{id}", NoneType, t.EvaluatorResponse, "Get an evaluator."
)
UPDATE_EVALUATOR = Operation(
    "Evaluators_update",
    "PATCH",
    "/evaluators/{id}",
    t.UpdateEvaluatorRequest,
    t.EvaluatorResponse,
    "Change an evaluator.",
    "Anything but its name and its description creates a new version. Evaluations keep the version that they have.",
)
DELETE_EVALUATOR = Operation(
    "Evaluators_delete",
    "DELETE",
    "/evaluators/{id}",
    NoneType,
    NoneType,
    "Delete an evaluator.",
    "It no longer runs on the new logs of projects. Evaluations that have it keep it and its results.",
    status=204,
)
LIST_PROJECT_EVALUATIONS = Operation(
    "Evaluations_listAllForProject",
    "GET",
    "/projects/{project_id}/evaluations",
    NoneType,
    t.ResponseList[t.EvaluationResponse],
    "List a project's evaluations, newest first.",
    "Deprecated by v4 in favour of `evaluations.list`.",
    query=t.ProjectEvaluationsQuery,
)
CREATE_EVALUATION = Operation(
    "Evaluations_create",
    "POST",
    "/projects/{project_id}/evaluations",
    t.CreateEvaluationRequest,
    t.EvaluationResponse,
    "Start an evaluation of a configuration with a dataset.",
    status=201,
    creates=True,
)
LIST_EVALUATIONS = Operation(
    "Evaluations_list",
    "GET",
    "/evaluations",
    NoneType,
    t.PaginatedData[t.EvaluationResponse],
    "List a project's evaluations, newest first.",
    query=t.ListEvaluationsQuery,
)
GET_EVALUATION = Operation(
    "Evaluations_get",
    "GET",
    "/evaluations/{id}",
    NoneType,
    t.EvaluationResponse,
    "Get an evaluation, with its progress.",
    query=t.GetEvaluationQuery,
)
LIST_EVALUATION_DATAPOINTS = Operation(
    "Evaluations_listDatapoints",
    "GET",
    "/evaluations/{id}/datapoints",
    NoneType,
    t.PaginatedData[t.EvaluationDatapointSnapshotResponse],
    "List an evaluation's datapoints, each with its log and the results so far.",
    query=t.ListEvaluationDatapointsQuery,
)
LOG_EVALUATION = Operation(
    "Evaluations_log",
    "POST",
    "/evaluations/{evaluation_id}/log",
    t.CreateEvaluationLogRequest,
    t.CreateLogResponse,
    "Send the log for a datapoint of an evaluation with `hl_generated=False`.",
    "The evaluators that the server runs begin with it at once.",
    query=t.EvaluateeQuery,
    status=201,
    creates=True,
)
EVALUATION_RESULT = Operation(
    "Evaluations_result",
    "POST",
    "/evaluations/{evaluation_id}/result",
    t.CreateEvaluationResultLogRequest,
    t.EvaluationResultResponse,
    'Send the result of an "external" or "human" evaluator on a log.',
    "Another result for the same log and evaluator replaces the first one.",
    query=t.EvaluateeQuery,
    status=201,
    creates=True,
    aliases=("log_result",),
)
UPDATE_EVALUATION_STATUS = Operation(
    "Evaluations_updateStatus",
    "PATCH",
    "/evaluations/{id}/status",
    t.UpdateEvaluationStatusRequest,
    t.EvaluationResponse,
    "End an evaluation, or continue it.",
    "The server itself ends an evaluation in which it generates the logs and runs all evaluators.",
)
ADD_EVALUATORS = Operation(
    "Evaluations_addEvaluators",
    "PATCH",
    "/evaluations/{id}/evaluators",
    t.AddEvaluatorsRequest,
    t.EvaluationResponse,
    "Add evaluators to an evaluation.",
    "Those that the server runs also run on the logs that the evaluation has.",
)

EVALUATION_OPERATIONS = rows(globals())
