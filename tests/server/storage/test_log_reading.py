"""``GET /logs`` and the export: pages, filters, searches, orders; the same on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from humanloop_async.server.http.handlers import logs as handlers
from humanloop_async.server.storage.database import READERS
from tests.server.served import CHAT, Api, on_both_databases

pytestmark = on_both_databases

PROJECT = "greeter"


async def post(api: Api, *logs: dict[str, Any]) -> list[str]:
    """The ids of logs, made an hour apart from the start of 2026 unless they say otherwise."""
    sent = [
        {"project": PROJECT, "config": {"model": "m"}, "created_at": f"2026-01-01T{hour:02}:00:00Z", **log}
        for hour, log in enumerate(logs)
    ]
    status, answers = await api.post("/logs", sent)
    assert status == 200, answers
    return [answer["id"] for answer in answers]


async def project_id(api: Api, name: str = PROJECT) -> str:
    [row] = api.rows("SELECT id FROM projects WHERE name = ?", name)
    return str(row["id"])


async def listed(api: Api, *query: tuple[str, str]) -> dict[str, Any]:
    status, page = await api.call("GET", "/logs", query=[("project_id", await project_id(api)), *query])
    assert status == 200, page
    return dict(page)


async def found(api: Api, *query: tuple[str, str]) -> list[str]:
    page = await listed(api, *query)
    outputs = [record["output"] for record in page["records"]]
    assert page["total"] == len(outputs)
    return outputs


async def test_pages_begin_at_0_newest_first_and_never_overlap(api: Api) -> None:
    ids = await post(api, *({"output": str(n)} for n in range(7)))
    for number, expected in enumerate([ids[6:3:-1], ids[3:0:-1], ids[:1], []]):
        page = await listed(api, ("page", str(number)), ("size", "3"))
        assert [record["id"] for record in page["records"]] == expected
        assert (page["page"], page["size"], page["total"]) == (number, 3, 7)
    page = await listed(api)
    assert (page["page"], page["size"], len(page["records"])) == (0, 50, 7)


async def test_logs_of_one_moment_have_an_order(api: Api) -> None:
    ids = await post(api, *({"created_at": "2026-01-01T00:00:00"} for _ in range(9)))
    pages = [await listed(api, ("page", str(number)), ("size", "2")) for number in range(5)]
    seen = [record["id"] for page in pages for record in page["records"]]
    assert seen == sorted(ids, reverse=True)


async def test_a_list_has_what_a_single_log_has(api: Api) -> None:
    await post(api, {"feedback": [{"type": "rating", "value": "good"}], "session_reference_id": "s"}, {})
    await api.post("/chat", CHAT)
    records = (await listed(api))["records"]
    assert [record["project"] for record in records] == [PROJECT] * 3
    for record in records:
        assert await api.call("GET", f"/logs/{record['id']}") == (200, record)


async def test_an_export_is_every_log_newest_first_ten_at_a_time(api: Api) -> None:
    ids = await post(api, *({} for _ in range(12)))
    path = f"/projects/{await project_id(api)}/export"
    _, first = await api.call("POST", path)
    _, second = await api.call("POST", path, query={"page": 1})
    assert [record["id"] for record in (*first["records"], *second["records"])] == ids[::-1]
    assert (first["page"], first["size"], first["total"]) == (0, 10, 12)


async def test_other_projects_stay_out(api: Api) -> None:
    await post(api, {"output": "mine"}, {"output": "theirs", "project": "other"})
    assert await found(api) == ["mine"]


@pytest.mark.parametrize("path", ["/logs?project_id=pr_x", "/projects/pr_x/export"])
async def test_an_unknown_project_is_404(api: Api, path: str) -> None:
    status, body = await api.call("POST" if "export" in path else "GET", path)
    assert status == 404
    assert "pr_x" in body["detail"]["message"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({}, "project_id"),
        ({"project_id": "pr_x", "page": "-1"}, "page"),
        ({"project_id": "pr_x", "size": "0"}, "size"),
        ({"project_id": "pr_x", "size": "100000"}, "size"),
        ({"project_id": "pr_x", "start_date": "soon"}, "start_date"),
        ({"project_id": "pr_x", "end_date": ""}, "end_date"),
        ({"project_id": "pr_x", "version_status": "new"}, "version_status"),
        ({"project_id": "pr_x", "sort": "colour.asc"}, "sort"),
        ({"project_id": "pr_x", "sort": "source"}, "sort"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(api: Api, query: dict[str, str], name: str) -> None:
    status, body = await api.call("GET", "/logs", query=query)
    assert status == 422
    assert name in str(body["detail"][0])


SEARCHES = {
    "hello": "plain",
    "HELLO": "plain",
    "grüße": "GRÜSSE an alle",  # as one says it without the ß
    "grüsse": "GRÜSSE an alle",
    "ÉCOLE": "école \U0001f600",
    "\U0001f600": "école \U0001f600",
    'say "x"': "quotes",
    "back\\slash": "quotes",
    "two\nlines": "quotes",
    "100%": "wild",
    "a_c": "wild",
    "ПРИВЕТ": "wild",
    "a/c": None,
    "[1]": None,
    "nowhere": None,
}


async def test_search_finds_text_in_inputs_and_output_in_any_case(api: Api) -> None:
    await post(
        api,
        {"output": "plain", "inputs": {"greeting": "Hello"}},
        {"output": "GRÜSSE an alle"},
        {"output": "école \U0001f600"},
        {"output": "quotes", "inputs": {"q": 'Say "X" to back\\slash on two\nlines'}},
        {"output": "wild", "inputs": {"a": "100% a_c", "b": "abc 100", "c": "Привет"}},
    )
    for text, expected in SEARCHES.items():
        assert await found(api, ("search", text)) == ([] if expected is None else [expected]), text


async def test_search_reads_what_was_generated_here(api: Api) -> None:
    call = {**CHAT, "inputs": {"name": "Ærø"}, "metadata": {"kunde": "Ålborg"}}
    _, chat = await api.post("/chat", {**call, "messages": [{"role": "user", "content": "Hi"}]})
    output = chat["data"][0]["output"]
    for query in (("search", "ærØ"), ("search", output.upper()), ("metadata_search", "ålborg")):
        assert await found(api, query) == [output]


async def test_metadata_is_searched_on_its_own(api: Api) -> None:
    await post(api, {"output": "one", "metadata": {"team": "Blue"}}, {"output": "two", "inputs": {"team": "blue"}})
    assert await found(api, ("metadata_search", "bLUE")) == ["one"]
    assert await found(api, ("search", "blue")) == ["two"]


BOUNDS: list[tuple[dict[str, str], str]] = [
    ({"start_date": "2026-01-02"}, "dcb"),
    ({"end_date": "2026-01-02"}, "cba"),
    ({"start_date": "2026-01-02", "end_date": "2026-01-02"}, "cb"),
    ({"start_date": "2026-01-02T23:59:59.999"}, "dc"),
    ({"end_date": "2026-01-02T00:00:00Z"}, "ba"),
    ({"start_date": "2026-01-02T01:00:00+01:00", "end_date": "2026-01-02T01:00:00+01:00"}, "b"),
    ({"start_date": "2026-01-04"}, ""),
]


async def test_dates_bound_with_their_whole_day_and_times_with_their_moment(api: Api) -> None:
    times = ("01T23:59:59.999999", "02T00:00:00", "02T23:59:59.999", "03T00:00:00")
    await post(api, *({"output": name, "created_at": f"2026-01-{at}"} for name, at in zip("abcd", times, strict=True)))
    for query, expected in BOUNDS:
        assert "".join(await found(api, *query.items())) == expected, query


async def test_filters_of_one_kind_add_up_and_of_several_narrow_down(api: Api) -> None:
    await post(
        api,
        {"output": "a", "source": "app", "config": {"model": "m1"}},
        {"output": "b", "source": "app", "config": {"model": "m2"}},
        {"output": "c", "source": "test", "config": {"model": "m1"}},
        {"output": "d", "config": {"type": "tool", "name": "m1"}},
    )
    assert await found(api, ("source_filter", "app")) == ["b", "a"]
    assert await found(api, ("source_filter", "app"), ("source_filter", "test")) == ["c", "b", "a"]
    assert await found(api, ("model_filter", "m1")) == ["c", "a"]
    assert await found(api, ("model_filter", "m1"), ("source_filter", "app")) == ["a"]
    assert await found(api, ("model_filter", "m1"), ("search", "C")) == ["c"]
    assert await found(api, ("model_filter", "m3")) == []


async def test_feedback_is_filtered_by_its_type_and_value(api: Api) -> None:
    good, bad, both = await post(api, {"output": "good"}, {"output": "bad"}, {"output": "both"})
    for log_id, value, user in ((good, "good", "u"), (bad, "bad", "u"), (both, "good", "u"), (both, "bad", "v")):
        await api.post("/feedback", {"type": "rating", "value": value, "data_id": log_id, "user": user})
    await api.post("/feedback", {"type": "issue", "value": "good", "data_id": bad})
    assert await found(api, ("feedback-rating_filter", "good")) == ["both", "good"]
    assert await found(api, ("feedback-rating_filter", "good"), ("feedback-rating_filter", "bad")) == [
        "both",
        "bad",
        "good",
    ]
    assert await found(api, ("feedback-issue_filter", "good")) == ["bad"]
    assert await found(api, ("feedback-issue_filter", "good"), ("feedback-rating_filter", "good")) == []
    await api.post("/feedback", {"type": "rating", "value": "bad", "data_id": good, "user": "u"})
    assert await found(api, ("feedback-rating_filter", "good")) == ["both"]


async def test_no_version_is_a_draft_and_no_evaluator_has_spoken(api: Api) -> None:
    await post(api, {"output": "a"})
    assert await found(api, ("version_status", "committed")) == ["a"]
    assert await found(api, ("version_status", "uncommitted")) == []
    assert await found(api, ("version_status", "deleted")) == []
    assert await found(api, ("evaluator-evfn_1_filter", "true")) == []


ORDERS: list[tuple[list[str], str]] = [
    ([], "dcba"),
    (["timestamp.asc"], "abcd"),
    (["timestamp.desc"], "dcba"),
    (["source.asc"], "cadb"),
    (["source.desc"], "acdb"),
    (["model.desc"], "dcba"),
    (["model.asc", "timestamp.asc"], "abcd"),
    (["feedback-rating.asc"], "bcda"),
    (["feedback-rating.desc", "timestamp.asc"], "cbad"),
]


async def test_orders_put_what_has_no_value_last_and_equals_newest_first(api: Api) -> None:
    good, bad = {"type": "rating", "value": "good"}, {"type": "rating", "value": "bad"}
    await post(
        api,
        {"output": "a", "source": "y", "config": {"model": "m1"}},
        {"output": "b", "config": {"model": "m1"}, "feedback": bad},
        {"output": "c", "source": "x", "config": {"model": "m2"}, "feedback": good},
        {"output": "d", "config": {"model": "m2"}},
    )
    for sort, expected in ORDERS:
        query = [("sort", entry) for entry in sort]
        assert "".join(await found(api, *query)) == expected, sort
        pages = [await listed(api, *query, ("size", "1"), ("page", str(number))) for number in range(4)]
        assert "".join(page["records"][0]["output"] for page in pages) == expected, sort


async def test_numbers_are_sorted_by_their_size_and_before_words(api: Api) -> None:
    kinds = [{"type": "stars", "class": "number"}]
    assert (await api.post("/projects", {"name": PROJECT, "feedback_types": kinds}))[0] == 201
    stars = {"a": 9, "b": 10, "c": -1.5, "d": 100.0}
    ratings = {"a": "good", "b": True, "c": 10, "d": 9}
    logs = [
        {"output": name, "feedback": [{"type": "stars", "value": value}, {"type": "rating", "value": ratings[name]}]}
        for name, value in stars.items()
    ]
    await post(api, *logs, {"output": "e"})
    for sort, expected in (
        ("feedback-stars.asc", "cabde"),
        ("feedback-stars.desc", "dbace"),
        ("feedback-rating.asc", "dcabe"),
        ("feedback-rating.desc", "cdbae"),
    ):
        assert "".join(await found(api, ("sort", sort))) == expected, sort


async def test_deep_pages_and_totals_stay_right_over_many_days_and_deletions(api: Api) -> None:
    # Three days with gaps, out of order; the counts by day lead to each page.
    moments = [f"2026-{month:02}-11T{hour:02}:30:00+02:00" for month in (3, 1, 2) for hour in (0, 1, 5, 23)]
    ids = await post(api, *({"created_at": moment} for moment in moments))
    newest_first = [id for _, id in sorted(zip(moments, ids, strict=True), reverse=True)]

    async def through(*query: tuple[str, str]) -> list[str]:
        pages = [await listed(api, *query, ("size", "5"), ("page", str(number))) for number in range(4)]
        assert {page["total"] for page in pages} == {len(newest_first)}
        return [record["id"] for page in pages for record in page["records"]]

    assert await through() == newest_first
    assert await through(("sort", "timestamp.asc")) == newest_first[::-1]
    gone = newest_first[2:5]
    assert (await api.call("DELETE", "/logs", query=[("id", id) for id in (*gone, "data_x")]))[0] == 204
    del newest_first[2:5]
    assert await through() == newest_first
    assert await through(("sort", "timestamp.asc")) == newest_first[::-1]


async def test_the_counts_are_those_of_the_logs_whoever_wrote_them(api: Api) -> None:
    await post(api, {}, {}, {"created_at": "2025-12-31T23:59:59"})
    await asyncio.gather(*(api.post("/chat", {**CHAT, "num_samples": 2}) for _ in range(4)))
    assert (await api.post("/logs", [{"project": PROJECT, "config": {"model": "m"}}, {}]))[0] == 422
    assert (await listed(api))["total"] == len(api.logs()) == 11
    assert api.rows("SELECT sum(count) AS n FROM log_counts") == [{"n": 11}]
    _, project = await api.call("GET", f"/projects/{await project_id(api)}")
    assert project["data_count"] == 11


@pytest.mark.parametrize("path", ["/projects", "/logs", "/sessions", "/projects/{}/export"])
async def test_past_the_end_of_any_list_is_an_empty_page(api: Api, path: str) -> None:
    await post(api, {"session_reference_id": "s"})
    project = await project_id(api)
    method = "POST" if path.endswith("export") else "GET"
    query = {"page": "9", **({"project_id": project} if path in ("/logs", "/sessions") else {})}
    status, page = await api.call(method, path.format(project), query=query)
    assert (status, page["records"], page["page"], page["total"]) == (200, [], 9, 1)


async def test_searches_leave_room_for_everything_else(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await post(api, {})
    project = await project_id(api)
    page_of_logs: Any = vars(handlers)["page_of_logs"]

    async def slow(*args: Any) -> Any:
        await asyncio.sleep(1)  # a project of a million logs
        return await page_of_logs(*args)

    monkeypatch.setattr(handlers, "page_of_logs", slow)
    queries = [{"search": "x"}, {"metadata_search": "x"}, {"sort": "model.asc"}, {"sort": "feedback-rating.desc"}]
    running = [
        asyncio.create_task(api.call("GET", "/logs", query={"project_id": project, **query}))
        for query in queries * READERS
    ]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(0.8):  # while they hold all the connections that they can get
        assert (await api.post("/chat", CHAT))[0] == 200
    assert not any(task.done() for task in running)
    monkeypatch.undo()
    answers = await asyncio.gather(*running)
    assert {status for status, _ in answers} == {200}
