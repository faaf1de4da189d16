"""The logs of a project in a browser: search, filters, live updates, pages, one log, sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from humanloop_async import AsyncHumanloop
from tests.web.browser import show

if TYPE_CHECKING:
    from playwright.async_api import Page, Request, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG: Any = {"type": "model", "model": "m"}


async def project_of(client: AsyncHumanloop, *logs: dict[str, Any], name: str = "words") -> str:
    """Submit logs and return the id of their project."""
    sent: list[Any] = [{"project": name, "config": CONFIG, **log} for log in logs]
    return str((await client.log(sent))[0].project_id)


async def outputs(page: Page) -> list[str]:
    return [text.strip() for text in await page.locator(".log-row td:nth-child(3)").all_inner_texts()]


async def test_live_updates_do_not_repeat_a_search(page: Page, client: AsyncHumanloop) -> None:
    """A search reads every log. The updates of one without results read only the logs after it, and find them."""
    project = await project_of(client, {"output": "one"}, {"output": "two"})
    searches: list[dict[str, list[str]]] = []

    def note(request: Request) -> None:
        query = parse_qs(urlsplit(request.url).query)
        if "search" in query:
            searches.append(query)

    page.on("request", note)
    await show(page, f"#/projects/{project}/logs?search=three")
    await page.get_by_text("No log matches these filters.").wait_for()
    while len(searches) < 3:
        await page.wait_for_event("request")
    assert ["start_date" in query for query in searches[:3]] == [False, True, True]
    await client.log([{"project": "words", "config": CONFIG, "output": text} for text in ("other", "three hundred")])
    await page.locator(".log-row", has_text="three hundred").wait_for()
    assert await outputs(page) == ["three hundred"]


async def test_a_new_search_stops_the_one_before(page: Page, client: AsyncHumanloop) -> None:
    project = await project_of(client, {"output": "one"}, {"output": "two"})
    await show(page, f"#/projects/{project}/logs")
    stopped = asyncio.Event()

    async def hold(route: Route) -> None:
        await stopped.wait()

    await page.route("**/v4/logs?*search=on&*", hold)
    await page.route("**/v4/logs?*search=on", hold)
    page.on("requestfailed", lambda request: stopped.set())
    await page.get_by_label("Search inputs and outputs").fill("on")
    await page.wait_for_event("request", lambda request: "search=on" in request.url)
    await page.get_by_label("Search inputs and outputs").fill("two")
    await page.locator(".log-row", has_text="one").wait_for(state="detached")
    assert await outputs(page) == ["two"]
    async with asyncio.timeout(5):
        await stopped.wait()
