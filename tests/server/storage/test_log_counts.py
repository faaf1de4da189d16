"""Counts of logs by day: they lead to deep pages, and stay right whatever writes or deletes logs."""

from __future__ import annotations

import asyncio

from tests.server.served import CHAT, Api, on_both_databases
from tests.server.storage.log_lists import PROJECT, listed, post, project_id

pytestmark = on_both_databases


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


async def test_submitted_and_generated_logs_are_counted(api: Api) -> None:
    await post(api, {}, {}, {"created_at": "2025-12-31T23:59:59"})
    await asyncio.gather(*(api.post("/chat", {**CHAT, "num_samples": 2}) for _ in range(4)))
    assert (await api.post("/logs", [{"project": PROJECT, "config": {"model": "m"}}, {}]))[0] == 422
    assert (await listed(api))["total"] == len(api.logs()) == 11
    assert api.rows("SELECT sum(count) AS n FROM log_counts") == [{"n": 11}]
    _, project = await api.call("GET", f"/projects/{await project_id(api)}")
    assert project["data_count"] == 11
