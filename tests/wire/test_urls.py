"""URLs that the client builds, and queries that the server decodes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async.errors import InvalidArgument
from humanloop_async.types import DeleteLogsQuery, ListConfigsQuery, ListLogsQuery, ListProjectsQuery, ListSessionsQuery
from humanloop_async.wire.operations import Operation
from humanloop_async.wire.operations.generation import COMPLETE
from humanloop_async.wire.operations.logs import DELETE_LOGS, GET_LOG, LIST_LOGS, UPDATE_LOG_BY_REF
from humanloop_async.wire.operations.projects import DELETE_DEPLOYED_CONFIG, LIST_CONFIGS, LIST_PROJECTS, UPDATE_PROJECT
from humanloop_async.wire.requests import InvalidBody
from humanloop_async.wire.urls import decode_query, pop_url


def address(operation: Operation[Any, Any], **fields: object) -> str:
    made = pop_url(operation, fields)
    assert not fields, "what stands in the address is not sent in the body as well"
    return made


def test_url_parameters_are_removed_from_the_fields() -> None:
    fields: dict[str, object] = {"id": "pr_1", "name": "new"}
    assert pop_url(UPDATE_PROJECT, fields) == "/projects/pr_1"
    assert fields == {"name": "new"}
    fields = {"project_id": "stays, it is in the body", "inputs": {}}
    assert pop_url(COMPLETE, fields) == "/completion"
    assert len(fields) == 2


@pytest.mark.parametrize(
    ("id", "sent"),
    [
        ("pr_1", "pr_1"),
        ("a/b", "a%2Fb"),
        ("a b?c#d&e=f%", "a%20b%3Fc%23d%26e%3Df%25"),
        ("größe 👋", "gr%C3%B6%C3%9Fe%20%F0%9F%91%8B"),
        ("..a", "..a"),
        ("...", "..."),
        ("a\r\nb", "a%0D%0Ab"),
    ],
)
def test_an_id_is_quoted_as_one_path_segment(id: str, sent: str) -> None:
    assert address(GET_LOG, id=id) == f"/logs/{sent}"


@pytest.mark.parametrize("id", ["", ".", "..", None, 7, "\ud800"])
def test_an_id_that_would_change_the_path_is_rejected(id: object) -> None:
    """With an empty id, deleting a project would become DELETE /projects/."""
    with pytest.raises(InvalidArgument, match="id"):
        pop_url(GET_LOG, {"id": id})


def test_every_parameter_of_a_path_is_filled() -> None:
    sent = address(DELETE_DEPLOYED_CONFIG, project_id="pr/1", environment_id="env 2")
    assert sent == "/projects/pr%2F1/deployed-config/env%202"
    with pytest.raises(InvalidArgument, match="environment_id"):
        pop_url(DELETE_DEPLOYED_CONFIG, {"project_id": "pr_1"})


@pytest.mark.parametrize(
    ("operation", "fields", "sent"),
    [
        (LIST_PROJECTS, {}, "/projects"),
        (LIST_PROJECTS, {"page": None, "size": None}, "/projects"),
        (LIST_PROJECTS, {"page": 0, "size": 5, "filter": "a b"}, "/projects?page=0&size=5&filter=a%20b"),
        (LIST_CONFIGS, {"id": "p", "evaluation_aggregates": True}, "/projects/p/configs?evaluation_aggregates=true"),
        (LIST_CONFIGS, {"id": "p", "evaluation_aggregates": False}, "/projects/p/configs?evaluation_aggregates=false"),
        (DELETE_LOGS, {"id": ["a", "b/c"]}, "/logs?id=a&id=b%2Fc"),
        (DELETE_LOGS, {"id": "abc"}, "/logs?id=abc"),
        (UPDATE_LOG_BY_REF, {"reference_id": "a&b=c"}, "/logs?reference_id=a%26b%3Dc"),
        (LIST_LOGS, {"start_date": date(2026, 1, 2)}, "/logs?start_date=2026-01-02"),
        (
            LIST_LOGS,
            {"end_date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
            "/logs?end_date=2026-01-02T03%3A04%3A05%2B00%3A00",
        ),
        (LIST_LOGS, {"sort": ("model.asc", "source.desc")}, "/logs?sort=model.asc&sort=source.desc"),
        (
            LIST_LOGS,
            {"feedback_filter": {"rating": ["good", "bad"], "my own": "x"}},
            "/logs?feedback-rating_filter=good&feedback-rating_filter=bad&feedback-my%20own_filter=x",
        ),
    ],
)
def test_a_query_is_encoded_as_by_the_official_clients(
    operation: Operation[Any, Any], fields: dict[str, object], sent: str
) -> None:
    assert address(operation, **fields) == sent


@pytest.mark.parametrize("value", [object(), {"a": object()}, [object()], 1.5, b"x", "\ud800", {"\ud800": "x"}])
def test_a_value_without_a_query_form_is_an_invalid_argument(value: object) -> None:
    with pytest.raises(InvalidArgument, match="feedback"):
        pop_url(LIST_LOGS, {"feedback_filter": value})


def decoded(query: str, kind: type[Any]) -> Any:
    return decode_query(parse_qsl(query, keep_blank_values=True), kind)


def test_a_query_is_decoded_with_types_and_defaults() -> None:
    assert decoded("", ListProjectsQuery) == ListProjectsQuery()
    assert decoded("page=2&size=5&order=asc", ListProjectsQuery) == ListProjectsQuery(page=2, size=5, order="asc")
    assert decoded("evaluation_aggregates=true", ListConfigsQuery).evaluation_aggregates is True
    assert decoded("id=a&id=b", DeleteLogsQuery).id == ["a", "b"]
    assert decoded("project_id=p", ListSessionsQuery).page == 1
    read = decoded(
        "project_id=p&sort=model.asc&sort=source.desc&feedback-rating_filter=good&feedback-a%20b_filter=x&"
        "feedback-rating_filter=bad&source_filter=sdk",
        ListLogsQuery,
    )
    assert read.sort == ["model.asc", "source.desc"]
    assert read.source_filter == ["sdk"]
    assert read.feedback_filter == {"rating": ["good", "bad"], "a b": ["x"]}


def test_unknown_parameters_are_ignored_and_the_last_value_counts() -> None:
    assert decoded("page=1&colour=red&page=2&evaluator-x_filter=y", ListProjectsQuery).page == 2


@pytest.mark.parametrize(
    ("query", "kind", "issue"),
    [
        ("page=x", ListProjectsQuery, (["query", "page"], "type_error")),
        ("page=-1", ListProjectsQuery, (["query", "page"], "type_error")),
        ("size=", ListProjectsQuery, (["query", "size"], "type_error")),
        ("", ListLogsQuery, (["query", "project_id"], "value_error.missing")),
        ("", DeleteLogsQuery, (["query", "id"], "value_error.missing")),
        ("project_id=p&version_status=new", ListLogsQuery, (["query", "version_status"], "type_error")),
        ("project_id=p&end_date=soon", ListLogsQuery, (["query"], "type_error")),
        ("project_id=p&sort=model.asc&sort=colour", ListLogsQuery, (["query", "sort", 1], "type_error")),
    ],
)
def test_an_invalid_query_names_the_parameter(query: str, kind: type[Any], issue: tuple[list[str | int], str]) -> None:
    with pytest.raises(InvalidBody) as caught:
        decoded(query, kind)
    (found,) = caught.value.issues
    assert (found.loc, found.type) == issue


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    texts,
    st.fixed_dictionaries(
        {},
        optional={
            "search": texts,
            "source_filter": st.lists(texts, min_size=1, max_size=3),
            "feedback_filter": st.dictionaries(texts, st.lists(texts, min_size=1, max_size=2), min_size=1, max_size=2),
            "page": st.integers(0, 10**9),
            "size": st.integers(1, 1000),
            "start_date": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
        },
    ),
)
def test_the_server_decodes_the_queries_that_the_client_encodes(project: str, fields: Mapping[str, Any]) -> None:
    sent = urlsplit(pop_url(LIST_LOGS, {"project_id": project, **fields}))
    assert sent.path == "/logs"
    pairs = [tuple(map(unquote, pair.split("="))) for pair in sent.query.split("&")]
    assert decode_query(pairs, ListLogsQuery) == ListLogsQuery(project_id=project, **fields)  # type: ignore[arg-type]
