"""The page from 360 to 2,560 pixels, and with a keyboard only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop, EmbeddedServer
from tests.web.browser import opened, root, show, write
from tests.web.test_views import fill_project

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOCUS = """() => {
  const element = document.activeElement;
  if (element === document.body) return null;
  // The radio buttons of a segmented control are invisible; the label beside them shows the focus.
  const shown = element.matches(".segmented input") ? element.nextElementSibling : element;
  const style = getComputedStyle(shown);
  const name = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
  return [name, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0];
}"""

WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth && !element.closest(".table-wrap"))
  .map((element) => `${element.tagName}.${element.className}`)"""


@pytest.mark.parametrize("width", [360, 1280, 2560])
async def test_no_view_scrolls_sideways(
    browser: Browser, server: EmbeddedServer, client: AsyncHumanloop, width: int
) -> None:
    """Tables scroll in their own boxes. The words of these objects have no place to break."""
    views = await fill_project(client, "p" * 80, "w" * 150)
    size: Any = {"width": width, "height": 800}
    async with opened(browser, f"{root(server)}#key={server.api_key}", viewport=size) as page:
        for name, address in {**views, "no such page": "#/nothing"}.items():
            await show(page, address)
            assert await page.evaluate(WIDER) == [], name
        await show(page, views["playground"])
        await write(page, "w" * 150, samples=4)
        await page.keyboard.press("Control+Enter")
        await page.get_by_text("4 of 4 samples finished").wait_for()
        assert await page.evaluate(WIDER) == []


@pytest.mark.parametrize("width", [1280, 2560])
async def test_the_table_of_logs_fits(
    browser: Browser, server: EmbeddedServer, client: AsyncHumanloop, width: int
) -> None:
    """Long texts are cut; the columns after them stay in view."""
    text = "Your order left our warehouse on Tuesday and should reach you tomorrow before noon. " * 3
    log = await client.log(
        project="shop", output=text, inputs={"question": text}, config={"type": "model", "model": "m"}
    )
    await client.feedback(type="comment", data_id=log.id, value=text)
    size: Any = {"width": width, "height": 800}
    async with opened(browser, f"{root(server)}#key={server.api_key}", viewport=size) as page:
        await show(page, f"#/projects/{log.project_id}/logs")
        box = page.locator(".log-table")
        assert await box.evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0
        for row in await box.locator("td.number").all():
            assert await row.evaluate("(cell) => cell.firstChild && getComputedStyle(cell).whiteSpace") == "nowrap"


async def test_headings_are_aligned_like_their_columns(page: Page, client: AsyncHumanloop) -> None:
    views = await fill_project(client)
    mismatches = """() => [...document.querySelectorAll("main table")].flatMap((table) => {
      const cells = [...(table.tBodies[0].rows[0]?.cells ?? [])];
      const isEnd = (cell) => getComputedStyle(cell).textAlign === "end";
      const headings = table.tHead.rows[0].cells;
      return cells.filter((cell, index) => isEnd(cell) !== isEnd(headings[index])).map((cell) => cell.textContent);
    })"""
    for name in ("projects", "logs", "configs", "experiments", "sessions", "datasets", "evaluations"):
        await show(page, views[name])
        assert await page.locator("main table").count(), name
        assert await page.evaluate(mismatches) == [], name


async def test_bars_have_the_lengths_of_their_shares(page: Page) -> None:
    lengths = await page.evaluate(
        """() => {
          const box = document.createElement("div");
          box.className = "bars";
          for (const share of [25, 75]) {
            const [row, name, meter, bar] = ["div", "span", "div", "i"].map((tag) => document.createElement(tag));
            meter.className = "meter";
            bar.style.inlineSize = `${share}%`;
            meter.append(bar);
            row.append(name, meter);
            box.append(row);
          }
          document.body.append(box);
          return [...box.querySelectorAll("i")].map((bar) => bar.offsetWidth / bar.parentNode.offsetWidth);
        }"""
    )
    assert lengths == pytest.approx([0.25, 0.75], abs=0.01)


async def stops(page: Page, until: str, limit: int = 60) -> list[str]:
    """Press Tab until a control has the focus, and return the names on the way. Each must show its focus."""
    names: list[str] = []
    while len(names) < limit:
        await page.keyboard.press("Tab")
        found = await page.evaluate(FOCUS)
        if found is None:
            continue
        name, is_visible = found
        assert is_visible, name
        names.append(name)
        if name.startswith(until):
            return names
    raise AssertionError(f"Tab does not reach {until}: {names}")


async def test_the_playground_by_keyboard_only(page: Page, client: AsyncHumanloop) -> None:
    """Tab goes through the form in its order; a message is written, run and opened as a log, and gets feedback."""
    await page.get_by_label("Your message").wait_for()
    names = await stops(page, "Log to project")
    order = ["Provider", "Model", "System message", "Samples", "Tool choice", "Log to project"]
    assert [name for name in names if name in order] == order
    await page.keyboard.type("typed")
    await stops(page, "Your message")
    await page.keyboard.type("Hello")
    await stops(page, "Run")
    await page.keyboard.press("Enter")
    await page.get_by_text("2 of 2 samples finished").wait_for()
    await page.evaluate("document.querySelector('.sample').tabIndex = -1; document.querySelector('.sample').focus()")
    names = await stops(page, "Open log")
    assert names == ["Output of Sample 0", "Continue", "Copy", "Open log"]
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Log", exact=True).wait_for()
    await stops(page, "1rating: good")
    await page.keyboard.press("Space")
    await page.locator('.feedback-keys [aria-pressed="true"]').wait_for()
    log = await client.logs.get(page.url.rpartition("/")[2])
    assert [item.value for item in log.feedback or []] == ["good"]


async def test_a_dialog_by_keyboard_only(page: Page) -> None:
    """The focus stays in an open dialog, and returns when Esc closes it."""
    await page.get_by_label("Your message").fill("Hello")
    await page.locator("h1").focus()
    await stops(page, "Show as code")
    await page.keyboard.press("Enter")
    await page.locator("dialog[open]").wait_for()
    assert await page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    await stops(page, "Close")
    await page.keyboard.press("Escape")
    await page.locator("dialog").wait_for(state="detached")
    await page.wait_for_function("document.activeElement.textContent === 'Show as code'")
