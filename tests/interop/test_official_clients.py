"""The unmodified official clients, each in a separate environment, with the server.

Each client runs its scenarios once (see the scripts). The tests read the results and the stored records.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from humanloop_async import types
from humanloop_async.wire.operations import FINETUNE_OPERATIONS, OPERATIONS, AnyOperation
from tests.interop.client_run import LACKED, PROVIDER_KEY, Call, Run, only_for

# All other operations respond with 200. Except for the fine-tunes, which the server does not have, these are from v4.
STATUS = {
    **dict.fromkeys(("Projects_create", "Sessions_create", "Projects_createFeedbackType"), 201),
    **dict.fromkeys(("Datasets_create", "Datasets_createDatapoint"), 201),
    **dict.fromkeys((f"Evaluations_{name}" for name in ("create", "log", "result")), 201),
    "Evaluators_create": 201,
    "Evaluators_delete": 204,
    **dict.fromkeys(("Projects_delete", "Logs_delete", "Experiments_delete", "Datapoints_delete"), 204),
    **{operation.id: 501 for operation in FINETUNE_OPERATIONS},
}
# The method of 0.7 has no argument for the ids of the datapoints, and sends no body.
OTHER_STATUS = {"python-0.7.35": {"Datapoints_delete": 400}}
# Timestamps that the scenarios pass; the server creates all others.
PASSED_TIMESTAMPS = {"2024-02-03T03:05:06Z", "2024-02-03T04:05:06Z"}

pytestmark = pytest.mark.timeout(60)


def operation_of(call: Call) -> AnyOperation:
    (operation,) = (
        operation
        for operation in OPERATIONS
        if operation.method == call.method and re.fullmatch(re.sub("{.+?}", "[^/]+", operation.path), call.path)
    )
    return operation


def normalized(name: str) -> str:
    """Return a name without its style: ``Feedback_feedback`` and ``feedback_api.feedback`` become the same."""
    name = re.sub("[._]", "", name).lower()
    return name.replace("feedbackapi", "feedback").replace("evaluationslogresult", "evaluationsresult")


def values(value: Any, keys: set[str]) -> Iterator[Any]:
    """Yield all values that have one of these keys, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from values(item, keys)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in keys:
                yield item
            yield from values(item, keys)


def test_every_operation_of_the_client_is_called(run: Run) -> None:
    """Each scenario calls every operation that the client has, and gets the documented status."""
    expected = {operation.id for operation in OPERATIONS} - LACKED[run.client]
    methods = {normalized(name) for name in run.printed["methods"]}
    assert {operation.id for operation in OPERATIONS if normalized(operation.id) in methods} == expected
    responses = [(operation_of(call).id, call.status) for call in run.calls]
    documented = STATUS | OTHER_STATUS.get(run.client, {})
    succeeded = Counter(id for id, status in responses if status == documented.get(id, 200))
    assert set(succeeded) == expected
    assert min(succeeded.values()) >= len(run.stored)
    failed = Counter(status for id, status in responses if status != documented.get(id, 200))
    assert failed == {401: 1, 404: len(run.stored), 422: 4 * len(run.stored)}


def test_get_configs_fails_without_a_request(run: Run) -> None:
    """The Python clients fail before they send a request."""
    only_for(run, "python")
    assert run.printed["get_configs"] == "'ProjectsApi' object has no attribute 'get_configs'"


def test_results_have_every_documented_key(run: Run, results: Any) -> None:
    """Keys with null are present, too: the documentation of 0.5 indexes plain dicts."""
    only_for(run, "python-0.5.18", "node")  # the models of 0.7 have other fields
    responses: dict[type[msgspec.Struct], list[Any]] = {
        types.ProjectResponse: [results["project"], results["renamed"], results["got_project"], results["deactivated"]],
        types.ProjectConfigResponse: [results["config"], *results["configs"], results["got_project"]["active_config"]],
        types.ModelConfigResponse: [results["config"]["config"], results["config_by_id"]],
        types.GetModelConfigResponse: [results["active"], results["active_on_staging"], results["sampled"]],
        types.EnvironmentProjectConfigResponse: [*results["environments"], *results["deployed"]],
        types.ExperimentResponse: [results["experiment"], *results["experiments"]],
        types.CreateLogResponse: [results["log"], *results["logs"]],
        types.LogResponse: [
            results["updated_log"],
            *(record for page in results["exported"] for record in page["records"]),
        ],
        types.FeedbackResponse: [results["feedback"], *results["feedback_list"]],
        types.SessionResponse: [results["got_session"]],
        types.CompletionResponse: [results["in_session"], results["generated"]["completion-experiment"]],
        types.ChatResponse: [results["from_openai"], results["generated"]["chat-deployed"]],
        types.FeedbackTypeModel: [results["feedback_type"], *results["feedback_types"]],
        types.DatasetResponse: [results["dataset"], results["updated_dataset"], *results["datasets"]],
        types.EvaluatorResponse: [results["evaluator"], *results["evaluators"]],
        types.EvaluationResponse: [results["evaluation"], results["got_evaluation"], *results["evaluations"]],
        types.EvaluationResultResponse: results["snapshots"]["records"][0]["evaluation_results"],
        types.DatapointResponse: [*results["datapoints"], *results["logged_datapoints"], results["got_datapoint"]],
        types.DataResponse: results["generated"]["completion"]["data"],
        types.ChatDataResponse: results["generated"]["chat"]["data"],
    }
    not_compared = {"type", "reasoning"}  # a tag and not a field; an extension of v4, which a response may omit
    for kind, objects in responses.items():
        names = {field.encode_name for field in msgspec.structs.fields(kind)}
        for response in objects:
            assert response.keys() - not_compared == names - not_compared, kind


def test_timestamps_are_in_utc(run: Run, results: Any) -> None:
    """All timestamps are in UTC, and those that the server created are of the time of the run."""
    timestamps = set(values(results, {"created_at", "updated_at", "last_used"}))
    assert timestamps > PASSED_TIMESTAMPS
    for timestamp in timestamps - PASSED_TIMESTAMPS:
        assert timestamp.endswith("Z")
        assert abs(run.ended - datetime.fromisoformat(timestamp)) < timedelta(minutes=10)


def test_provider_keys_reach_the_provider_and_nothing_else(run: Run) -> None:
    """Clients send them in request bodies. The server passes them to the provider and stores none."""
    assert {request.headers["authorization"] for request in run.provider_requests} == {f"Bearer {PROVIDER_KEY}"}
    files = [path for path in run.folder.iterdir() if path.is_file()]
    assert files
    assert not [path for path in files if PROVIDER_KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("label", "status", "kind", "message"),
    [
        ("missing_input", 422, "unprocessable_entity_error", "Missing input variables: name"),
        ("no_stream", 422, "unprocessable_entity_error", "Missing input variables: name"),
        ("unknown", 404, "not_found_error", "there is no project 'pr_unknown'"),
        ("taken", 422, "unprocessable_entity_error", "there is already a project '{project}'; choose another name"),
    ],
)
def test_errors_have_the_servers_message(results: Any, label: str, status: int, kind: str, message: str) -> None:
    """The client raises its error with the server's message, also before a stream's first event."""
    body = results[label]["body"]
    detail = (json.loads(body) if isinstance(body, str) else body)["detail"]  # a string, for a stream in Python
    message = message.format(project=results["renamed"]["name"])
    assert results[label]["status"] == status
    assert detail == {"type": kind, "message": message, "code": status, "origin": "Humanloop"}


def test_finetunes_fail_with_an_explanation(run: Run, results: Any) -> None:
    """The official clients raise the server's error, which names the alternative."""
    only_for(run, "python-0.5.18", "node")  # 0.7 has no fine-tunes
    assert [error["status"] for error in results["finetunes"]] == [501] * 4
    for error in results["finetunes"]:
        assert error["body"]["detail"]["message"].startswith("this server does not fine-tune models; fine-tune with")


def test_errors_of_invalid_requests_and_keys(run: Run, results: Any) -> None:
    assert results["invalid"]["status"] == 422
    assert results["invalid"]["body"]["detail"][0]["loc"] == ["body", "data_id"]
    assert run.printed["wrong_key"]["status"] == 401
    assert run.printed["wrong_key"]["body"]["detail"]["type"] == "authentication_error"
