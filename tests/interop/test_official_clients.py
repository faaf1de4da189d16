"""The unmodified official clients, each in an environment of its own, against the server.

Each client runs once and tells its stories (see its script); the tests read what it was handed and what was stored.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from humanloop_async import types
from humanloop_async.wire.operations import OPERATIONS, AnyOperation
from tests.interop.client_run import LACKED, PROVIDER_KEY, Call, Run, only_for

# Uneven in v4, and so said here once more; all others answer 200.
STATUS = {
    **dict.fromkeys(("Projects_create", "Sessions_create"), 201),
    **dict.fromkeys(("Projects_delete", "Logs_delete", "Experiments_delete"), 204),
}
# Moments that the stories set themselves; all others are the server's.
GIVEN_MOMENTS = {"2024-02-03T03:05:06Z", "2024-02-03T04:05:06Z"}

pytestmark = pytest.mark.timeout(60)


def operation_of(call: Call) -> AnyOperation:
    (operation,) = (
        operation
        for operation in OPERATIONS
        if operation.method == call.method and re.fullmatch(re.sub("{.+?}", "[^/]+", operation.path), call.path)
    )
    return operation


def bare(name: str) -> str:
    """A name in nobody's spelling; ``Feedback_feedback``, ``feedback_api.feedback`` and ``feedbackApi...`` are one."""
    return re.sub("[._]", "", name).lower().replace("feedbackapi", "feedback")


def values(value: Any, keys: set[str]) -> Iterator[Any]:
    """All values that have one of these keys, however deep."""
    if isinstance(value, list):
        for item in value:
            yield from values(item, keys)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in keys:
                yield item
            yield from values(item, keys)


def test_every_operation_of_the_client_is_called(run: Run) -> None:
    """All operations of the server but those that the client lacks, by each story, with the documented status."""
    wanted = {operation.id for operation in OPERATIONS} - LACKED[run.client]
    methods = {bare(name) for name in run.printed["methods"]}
    assert {operation.id for operation in OPERATIONS if bare(operation.id) in methods} == wanted
    answers = [(operation_of(call).id, call.status) for call in run.calls]
    succeeded = Counter(id for id, status in answers if status == STATUS.get(id, 200))
    assert set(succeeded) == wanted
    assert min(succeeded.values()) >= len(run.stored)
    refused = Counter(status for id, status in answers if status != STATUS.get(id, 200))
    assert refused == {401: 1, 404: len(run.stored), 422: 4 * len(run.stored)}


def test_get_configs_asks_no_server(run: Run) -> None:
    """It is broken inside the Python clients, so that no server can answer it."""
    only_for(run, "python")
    assert run.printed["get_configs"] == "'ProjectsApi' object has no attribute 'get_configs'"


def test_every_key_is_there(run: Run, got: Any) -> None:
    """Also where its value is null: the documentation of 0.5 indexes plain dicts."""
    only_for(run, "python-0.5.18", "node")  # the models of 0.7 have other fields
    answers: dict[type[msgspec.Struct], list[Any]] = {
        types.ProjectResponse: [got["project"], got["renamed"], got["got_project"], got["deactivated"]],
        types.ProjectConfigResponse: [got["config"], *got["configs"], got["got_project"]["active_config"]],
        types.ModelConfigResponse: [got["config"]["config"], got["config_by_id"]],
        types.GetModelConfigResponse: [got["active"], got["active_on_staging"], got["sampled"]],
        types.EnvironmentProjectConfigResponse: [*got["environments"], *got["deployed"]],
        types.ExperimentResponse: [got["experiment"], *got["experiments"]],
        types.CreateLogResponse: [got["log"], *got["logs"]],
        types.LogResponse: [got["updated_log"], *(record for page in got["exported"] for record in page["records"])],
        types.FeedbackResponse: [got["feedback"], *got["feedback_list"]],
        types.SessionResponse: [got["got_session"]],
        types.CompletionResponse: [got["in_session"], got["generated"]["completion-experiment"]],
        types.ChatResponse: [got["from_openai"], got["generated"]["chat-deployed"]],
        types.DataResponse: got["generated"]["completion"]["data"],
        types.ChatDataResponse: got["generated"]["chat"]["data"],
    }
    for kind, objects in answers.items():
        names = {field.encode_name for field in msgspec.structs.fields(kind)}
        for answer in objects:
            assert answer.keys() - {"type"} == names - {"type"}, kind  # a tag is no field


def test_moments_are_dates_in_utc(got: Any) -> None:
    """Every one of them, in every answer, and none but those that the client gave is far from now."""
    moments = set(values(got, {"created_at", "updated_at", "last_used"}))
    assert moments > GIVEN_MOMENTS
    for moment in moments - GIVEN_MOMENTS:
        assert moment.endswith("Z")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(moment)) < timedelta(minutes=10)


def test_provider_keys_reach_the_provider_and_nothing_else(run: Run) -> None:
    """They come in the bodies, from some clients in all of them; a provider is called with them, nothing keeps them."""
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
def test_refusals(got: Any, label: str, status: int, kind: str, message: str) -> None:
    """They come as the client's own error, with the server's words, also before a stream's first event."""
    body = got[label]["body"]
    detail = (json.loads(body) if isinstance(body, str) else body)["detail"]  # text, for a stream in Python
    message = message.format(project=got["renamed"]["name"])
    assert got[label]["status"] == status
    assert detail == {"type": kind, "message": message, "code": status, "origin": "Humanloop"}


def test_invalid_requests_and_keys(run: Run, got: Any) -> None:
    assert got["invalid"]["status"] == 422
    assert got["invalid"]["body"]["detail"][0]["loc"] == ["body", "data_id"]
    assert run.printed["wrong_key"]["status"] == 401
    assert run.printed["wrong_key"]["body"]["detail"]["type"] == "authentication_error"
