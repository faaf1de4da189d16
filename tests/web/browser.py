"""Chromium, driven by Playwright, and the pages that it shows."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop, EmbeddedServer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Programs that can run the tests: Debian's Chromium, and others."""


@asynccontextmanager
async def running_browser() -> AsyncGenerator[Browser]:
    """Start a browser; skip the test where there is none."""
    api = pytest.importorskip("playwright.async_api", reason="playwright is not installed (dependency group `browser`)")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no browser is installed (Debian: apt-get install chromium)")
    async with api.async_playwright() as playwright:
        # Root, as in containers, cannot use Chromium's sandbox.
        browser = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        try:
            yield browser
        finally:
            await browser.close()


def root(server: EmbeddedServer) -> str:
    """Return the URL of a server's page."""
    return server.base_url.removesuffix("/v4") + "/"


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncGenerator[Page]:
    """Open a page in a new profile. Errors and blocked scripts of the page fail the test."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    page.set_default_timeout(15_000)
    try:
        await page.goto(url)
        yield page
        assert not problems, problems
    finally:
        await context.close()


async def show(page: Page, address: str) -> None:
    """Go to a view and wait until it is complete."""
    await page.evaluate("(hash) => { location.hash = hash; }", address)
    await page.wait_for_function(
        "(hash) => location.hash.split('?')[0] === hash.split('?')[0] && document.title !== 'humanloop_async'"
        " && document.querySelector('main h1') && !document.querySelector('main[aria-busy]')",
        arg=address,
    )
    await page.wait_for_timeout(100)


async def write(page: Page, message: str, *, samples: int = 1, other: str = "", project: str = "") -> None:
    """Fill the playground's form."""
    await page.get_by_label("Samples").fill(str(samples))
    await page.get_by_label("Log to project").fill(project)
    if other:
        await page.get_by_text("Provider options").click()
        await page.get_by_label("Further parameters, as a JSON object").fill(other)
    await page.get_by_label("Your message").fill(message)


def client_url(page: Page) -> str:
    """Return the URL of the API that a page uses."""
    return f"{page.url.partition('#')[0]}v4"


async def generated(client: AsyncHumanloop, evaluation_id: str, number: int) -> None:
    """Wait until an evaluation has its logs."""
    while True:
        progress = (await client.evaluations.get(evaluation_id)).progress
        if progress is not None and progress.logs == number:
            return
        await asyncio.sleep(0.05)
