"""Filters and sort orders of ``GET /logs``."""

from __future__ import annotations

from tests.server.served import Api, on_both_databases
from tests.server.storage.log_lists import PROJECT, found, listed, post

pytestmark = on_both_databases

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


async def test_logs_without_a_value_come_last_and_equal_logs_newest_first(api: Api) -> None:
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


async def test_numbers_are_sorted_by_value_and_before_texts(api: Api) -> None:
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
