"""Paged lists: one page when awaited, all records when iterated. A page is fetched only when it is needed."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from humanloop_async import AsyncHumanloop, Humanloop, NotFoundError, Pages
from humanloop_async.testing import ScriptedServer
from humanloop_async.types import SessionResponse
from tests.examples import null_laden

LISTS = {"projects": 0, "sessions": 1}


def page(number: int, names: list[str], size: int, total: int) -> dict[str, Any]:
    records = [{**null_laden(SessionResponse), "id": name} for name in names]
    return {"records": records, "page": number, "size": size, "total": total}


def add_pages(server: ScriptedServer, first: int, *pages: str, size: int = 2, total: int | None = None) -> None:
    """Add a page for each text, with a record for each letter."""
    every = sum(map(len, pages)) if total is None else total
    for number, names in enumerate(pages, first):
        server.add_response(page(number, list(names), size, every))


def numbers(server: ScriptedServer) -> list[int]:
    return [int(parse_qs(urlsplit(request.path).query)["page"][0]) for request in server.requests]


async def test_awaiting_a_list_fetches_one_page(server: ScriptedServer, client: AsyncHumanloop) -> None:
    add_pages(server, 1, "ab", total=5)
    found = await client.sessions.list("pr_1", size=2)
    assert [record.id for record in found.records] == ["a", "b"]
    assert (found.page, found.size, found.total) == (1, 2, 5)
    assert (found.status, found.body["total"]) == (200, 5)
    assert numbers(server) == [1]


async def test_iterating_a_list_fetches_one_page_at_a_time(server: ScriptedServer, client: AsyncHumanloop) -> None:
    add_pages(server, 1, "ab", "cd", "e")
    seen = []
    async for session in client.sessions.list("pr_1", size=2):
        seen.append(session.id)
        assert len(server.requests) == (len(seen) + 1) // 2, "no page before its time"
    assert seen == list("abcde")
    assert numbers(server) == [1, 2, 3]
    assert {parse_qs(urlsplit(request.path).query)["size"][0] for request in server.requests} == {"2"}


async def test_a_list_that_begins_at_0_ends_one_number_earlier(server: ScriptedServer, client: AsyncHumanloop) -> None:
    """With 2 records per page, page 1 is the last of 4 records here. In a list that begins at 1 it is the first."""
    from humanloop_async.types import ProjectResponse

    record = null_laden(ProjectResponse)
    for number in (0, 1):
        server.add_response({"records": [record, record], "page": number, "size": 2, "total": 4})
    assert len([project async for project in client.projects.list(size=2)]) == 4
    assert numbers(server) == [0, 1]


async def test_a_list_begins_at_the_requested_page(server: ScriptedServer, client: AsyncHumanloop) -> None:
    add_pages(server, 2, "cd", "e", total=5)
    assert [session.id async for session in client.sessions.list("pr_1", page=2, size=2)] == list("cde")
    assert numbers(server) == [2, 3]


@pytest.mark.parametrize(
    ("pages", "size", "total", "seen", "asked"),
    [
        ([""], 2, 0, "", [1]),
        (["ab"], 2, 2, "ab", [1]),
        (["a"], 2, 1, "a", [1]),
        (["ab", "cd"], 2, 4, "abcd", [1, 2]),  # the last page is full, and no empty page is fetched after it
        (["ab", ""], 2, 9, "ab", [1, 2]),  # records were deleted between the pages
        (["a", "b", "c"], 1, 3, "abc", [1, 2, 3]),  # the pages are smaller than requested
        (["a", "bc"], 2, 4, "abc", [1, 2]),  # a short page is not the last one
    ],
)
async def test_iterating_ends_at_the_last_record(
    pages: list[str], size: int, total: int, seen: str, asked: list[int], server: ScriptedServer, client: AsyncHumanloop
) -> None:
    add_pages(server, 1, *pages, size=size, total=total)
    assert "".join([session.id async for session in client.sessions.list("pr_1", size=2)]) == seen
    assert numbers(server) == asked


async def test_a_list_can_be_read_several_times(server: ScriptedServer, client: AsyncHumanloop) -> None:
    add_pages(server, 1, "ab", "c")
    pages = client.sessions.list("pr_1", size=2)
    assert [session.id async for session in pages] == list("abc")
    add_pages(server, 1, "xy", "z")
    assert [session.id async for session in pages] == list("xyz")


async def test_leaving_a_list_early_fetches_no_more_pages(server: ScriptedServer, client: AsyncHumanloop) -> None:
    add_pages(server, 1, "ab", "cd")
    async for _ in client.sessions.list("pr_1", size=2):
        break
    assert numbers(server) == [1]


async def test_creating_a_list_sends_nothing(server: ScriptedServer, client: AsyncHumanloop) -> None:
    pages: list[Pages[Any]] = [client.projects.list(), client.logs.list("pr_1"), client.projects.export("pr_1")]
    await asyncio.sleep(0)
    assert len(pages) == 3
    assert not server.requests


async def test_after_a_failure_between_pages_reading_can_continue(
    server: ScriptedServer, client: AsyncHumanloop
) -> None:
    server.add_response(page(1, ["a", "b"], 2, 3))
    server.add_response({"detail": "gone"}, "404 Not Found")
    server.add_response(page(2, ["c"], 2, 3))
    records = aiter(client.sessions.list("pr_1", size=2))
    assert [(await anext(records)).id for _ in "ab"] == ["a", "b"]
    with pytest.raises(NotFoundError):
        await anext(records)
    assert (await anext(records)).id == "c"
    with pytest.raises(StopAsyncIteration):
        await anext(records)
    assert numbers(server) == [1, 2, 2]


async def test_an_export_sends_page_and_size_in_the_query(server: ScriptedServer, client: AsyncHumanloop) -> None:
    from humanloop_async.types import LogResponse

    record = null_laden(LogResponse)
    for number in (0, 1):
        server.add_response({"records": [record], "page": number, "size": 1, "total": 2})
    assert len([log async for log in client.projects.export("pr_1", size=1)]) == 2
    assert [(request.method, request.path) for request in server.requests] == [
        ("POST", "/v4/projects/pr_1/export?page=0&size=1"),
        ("POST", "/v4/projects/pr_1/export?page=1&size=1"),
    ]


# Sync


def test_a_sync_list_has_a_page_and_iterates_over_all_records(threaded_server: ScriptedServer) -> None:
    add_pages(threaded_server, 1, "ab", "cd", "e")
    with Humanloop(base_url=f"{threaded_server.url}/v4", max_retries=0) as client:
        pages = client.sessions.list("pr_1", size=2)
        assert not threaded_server.requests
        assert [session.id for session in pages.records] == ["a", "b"]
        assert (pages.page, pages.size, pages.total, pages.status) == (1, 2, 5, 200)
        assert pages.body["total"] == 5
        assert pages.headers["content-type"] == "application/json"
        assert pages.round_trip_time > 0
        assert numbers(threaded_server) == [1]
        assert [session.id for session in pages] == list("abcde")
        assert numbers(threaded_server) == [1, 2, 3]


def test_leaving_a_sync_list_early_fetches_no_more_pages(threaded_server: ScriptedServer) -> None:
    add_pages(threaded_server, 1, "ab", "cd")
    with Humanloop(base_url=f"{threaded_server.url}/v4", max_retries=0) as client:
        for session in client.sessions.list("pr_1", size=2):
            assert session.id == "a"
            break
    assert numbers(threaded_server) == [1]


def test_a_sync_list_raises_when_it_is_read(threaded_server: ScriptedServer) -> None:
    threaded_server.add_response({"detail": "gone"}, "404 Not Found")
    with Humanloop(base_url=f"{threaded_server.url}/v4", max_retries=0) as client:
        pages = client.sessions.list("pr_1")
        with pytest.raises(NotFoundError):
            list(pages)
        with pytest.raises(NotFoundError):
            assert pages.total
