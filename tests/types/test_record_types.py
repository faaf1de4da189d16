"""The Structs around generation: every answer is read, full or full of nulls, and written with every key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

import msgspec
import pytest

from humanloop_async import types as t
from humanloop_async.wire.operations import GENERATION_OPERATIONS, OPERATIONS
from humanloop_async.wire.responses import decode_response
from tests.examples import full, null_laden

NO_OBJECTS = {type(None), t.ResponseText}
ANSWERS = sorted(
    {op.response for op in OPERATIONS if op not in GENERATION_OPERATIONS and op.response not in NO_OBJECTS}, key=str
)


@pytest.mark.parametrize("kind", ANSWERS, ids=str)
@pytest.mark.parametrize("example", [full, null_laden])
def test_every_answer_is_read_full_and_full_of_nulls(kind: Any, example: Any) -> None:
    made = [example(get_args(kind)[0])] * 2 if get_origin(kind) is t.ResponseList else example(kind)
    answer = decode_response(kind, json.dumps(made).encode())
    assert json.loads(msgspec.json.encode(answer)) == made
    assert answer.body == made


@pytest.mark.parametrize("config", get_args(t.ConfigResponse), ids=lambda kind: kind.__name__)
def test_the_type_of_a_configuration_says_what_it_is(config: type[Any]) -> None:
    made = {**null_laden(t.ProjectConfigResponse), "config": full(config)}
    read = msgspec.convert(made, t.ProjectConfigResponse).config
    assert type(read) is config
    assert read.type == made["config"]["type"]


def test_unknown_fields_of_answers_are_read_past_and_kept_in_the_body() -> None:
    made = {**null_laden(t.LogResponse), "newer": {"a": 1}}
    log = decode_response(t.LogResponse, json.dumps(made).encode())
    log.attach(raw=json.dumps(made).encode(), headers={}, status=200, round_trip_time=0.5)
    assert log.body["newer"] == {"a": 1}
    assert (log.status, log.round_trip_time) == (200, 0.5)


def test_times_are_read_as_such_and_written_in_utc() -> None:
    session = msgspec.convert(
        {**null_laden(t.SessionResponse), "created_at": "2026-11-21T20:31:00Z"}, t.SessionResponse
    )
    assert session.created_at == datetime(2026, 11, 21, 20, 31, tzinfo=UTC)
    assert json.loads(msgspec.json.encode(session))["created_at"] == "2026-11-21T20:31:00Z"


def test_the_status_of_an_experiment_is_the_documented_one() -> None:
    """v4's field hides the HTTP status that other answers have under this name."""
    made = {**null_laden(t.ExperimentResponse), "status": "Initialized"}
    experiment = msgspec.convert(made, t.ExperimentResponse)
    experiment.attach(raw=None, headers={"a": "b"}, status=200, round_trip_time=0.1)
    assert experiment.status == "Initialized"
    assert experiment.headers == {"a": "b"}


def test_a_list_of_answers_is_a_list() -> None:
    answers = t.ResponseList([t.CreateLogResponse(id="data_1", project_id="pr_1")])
    assert answers == [t.CreateLogResponse(id="data_1", project_id="pr_1")]
    assert answers.body == [{"id": "data_1", "project_id": "pr_1", "session_id": None}]
    assert (answers.status, answers.headers, answers.round_trip_time) == (0, {}, 0.0)


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        ({"page": "-1"}, t.ListProjectsQuery, ">= 0"),
        ({"size": "0"}, t.ListProjectsQuery, ">= 1"),
        ({"size": "1001"}, t.ExportQuery, "<= 1000"),
        ({"sort_by": "colour"}, t.ListProjectsQuery, "colour"),
        ({"project_id": "pr", "page": "0"}, t.ListSessionsQuery, ">= 1"),
        ({"project_id": "pr", "start_date": "yesterday"}, t.ListLogsQuery, "start_date='yesterday' is not a date"),
        ({"project_id": "pr", "end_date": "2026-02-30"}, t.ListLogsQuery, "end_date='2026-02-30' is not a date"),
        ({}, t.ListLogsQuery, "project_id"),
        ({"id": []}, t.DeleteLogsQuery, "length >= 1"),
    ],
)
def test_queries_out_of_bounds_are_refused(query: dict[str, Any], kind: type[Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(query, kind, strict=False)


def test_first_pages_and_sizes_are_uneven_as_documented() -> None:
    queries: list[Any] = [
        t.ListProjectsQuery(),
        t.ExportQuery(),
        t.ListLogsQuery(project_id=""),
        t.ListSessionsQuery(project_id=""),
    ]
    assert [(query.page, query.size) for query in queries] == [(0, 10), (0, 10), (0, 50), (1, 10)]
