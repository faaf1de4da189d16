"""How the page draws growing text, counted: layouts, lengths, announcements, animations. No times are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop, EmbeddedServer
from tests.web.browser import opened, root, show, write

if TYPE_CHECKING:
    from playwright.async_api import Browser, CDPSession, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

CARDS = """async (number) => {
  const { SampleCard } = await import("/page/samples.js");
  window.frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  window.box = document.body.appendChild(document.createElement("div"));
  window.box.style.inlineSize = "400px";
  window.cards = Array.from({ length: number }, (_, index) => new SampleCard(`Sample ${index}`, 0));
  window.box.append(...window.cards.map((card) => card.element));
  await window.frame();
}"""

GROW = """async (piece) => {
  const [card] = window.cards;
  const text = card.element.querySelector(".text");
  const longest = [];
  for (let step = 0; step < 60; step += 1) {
    for (let token = 0; token < 4; token += 1) card.add({ id: "data_1", output: piece });
    await window.frame();
    longest.push(text.lastElementChild.lastElementChild.textContent.length);
  }
  return [longest, [...text.children].flatMap((group) => [...group.children]).length];
}"""

SHAPE = """() => {
  const text = window.cards[0].element.querySelector(".text");
  const blocks = [...text.children].flatMap((group) => [...group.children]);
  return {
    blocks: blocks.length,
    nodes: blocks.map((block) => block.childNodes.length),
    text: text.textContent,
    height: text.getBoundingClientRect().height,
    directions: [...new Set(blocks.map((block) => getComputedStyle(block).direction))],
    style: text.lastElementChild.getAttribute("style") ?? "",
  };
}"""

END = """() => window.cards[0].finish({ finishReason: "stop" })"""

PIECES = {
    "words": "many small words ",
    "right to left": "النهر يحمل ما كتبه ",
    "mixed": "water النهر 42 🙂 東京 ",
    "without a space": "abcdefghijklmnop",
    "lines": "a line of words\n",
}


async def layouts(session: CDPSession) -> float:
    """Return how often the browser has computed the layout of the page."""
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "LayoutCount")


async def settled(page: Page, session: CDPSession) -> float:
    """Wait until the page itself has nothing more to lay out. Return the number of layouts."""
    number = await layouts(session)
    while True:
        await page.evaluate("() => new Promise((resolve) => setTimeout(() => window.frame().then(resolve), 200))")
        before, number = number, await layouts(session)
        if number == before:
            return number


async def test_tokens_of_a_frame_cost_one_layout(page: Page) -> None:
    """Four samples get 200 tokens each between two frames."""
    await page.evaluate(CARDS, 4)
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    before = await settled(page, session)
    frames = await page.evaluate(
        """async () => {
          let frames = 0;
          const count = () => { frames += 1; requestAnimationFrame(count); };
          count();
          for (let token = 0; token < 200; token += 1) for (const card of window.cards) card.add({ output: "word " });
          await window.frame();
          return frames;
        }"""
    )
    assert 1 <= await layouts(session) - before <= frames + 1


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
async def test_a_growing_paragraph_is_drawn_in_bounded_parts_that_look_like_one(page: Page, piece: str) -> None:
    """The browser computes the layout of a changed part again, so its length is the cost of a frame."""
    await page.evaluate(CARDS, 1)
    longest, parts = await page.evaluate(GROW, piece)
    assert max(longest) < 600
    assert parts > 5
    growing = await page.evaluate(SHAPE)
    await page.evaluate(END)
    ended = await page.evaluate(SHAPE)
    # Where a block ends at a line end, it takes the line end's place.
    assert growing["text"].replace("\n", "") == ended["text"].replace("\n", "") == (piece * 240).replace("\n", "")
    assert (ended["height"], ended["directions"]) == (growing["height"], growing["directions"])
    assert ended["directions"] == ["rtl" if piece == PIECES["right to left"] else "ltr"]
    assert set(ended["nodes"]) == {1}
    assert ended["blocks"] == 1 if "\n" not in piece else 1 < ended["blocks"] < 4
    assert ended["style"] == ""


async def test_the_parts_follow_the_width(page: Page) -> None:
    await page.evaluate(CARDS, 1)
    await page.evaluate(GROW, PIECES["words"])
    assert (await page.evaluate(SHAPE))["blocks"] > 5
    await page.evaluate("async () => { window.box.style.inlineSize = '250px'; await window.frame(); }")
    narrow = await page.evaluate(SHAPE)
    assert narrow["blocks"] == 1
    await page.evaluate(GROW, PIECES["words"])
    again = await page.evaluate(SHAPE)
    assert again["blocks"] > 5
    await page.evaluate(END)
    assert (await page.evaluate(SHAPE))["height"] == again["height"] > narrow["height"]


async def test_text_that_is_not_displayed_stays_whole(page: Page) -> None:
    await page.evaluate(CARDS, 1)
    await page.evaluate("() => { window.box.style.display = 'none'; }")
    _, parts = await page.evaluate(GROW, PIECES["words"])
    assert parts == 1
    await page.evaluate("() => { window.box.style.display = ''; }")
    _, parts = await page.evaluate(GROW, PIECES["words"])
    assert parts > 5


async def test_the_end_stays_in_view_until_the_reader_scrolls_up(page: Page) -> None:
    output = page.locator(".output")
    distance = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight"
    await page.evaluate(CARDS, 1)
    for piece in (PIECES["words"], PIECES["lines"]):
        await page.evaluate(GROW, piece)
        assert await output.evaluate(distance) < 2
    await output.evaluate("async (box) => { box.scrollTop = 100; await window.frame(); }")
    await page.evaluate(GROW, PIECES["words"])
    assert await output.evaluate("(box) => box.scrollTop") == 100
    await output.evaluate("async (box) => { box.scrollTop = box.scrollHeight; await window.frame(); }")
    await page.evaluate(GROW, PIECES["words"])
    assert await output.evaluate(distance) < 2


async def test_screen_readers_hear_the_start_and_the_end_and_no_token(page: Page) -> None:
    """The output grows outside of the live regions, whose texts change a few times per call."""
    await page.evaluate(
        """() => {
          window.announced = [];
          const LIVE = "[role=status], [role=alert], [role=log], [aria-live]:not([aria-live=off])";
          new MutationObserver((records) => {
            for (const { target } of records) {
              const region = (target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement)?.closest(LIVE);
              if (region) window.announced.push(region.textContent);
            }
          }).observe(document.body, { childList: true, characterData: true, subtree: true });
        }"""
    )
    await write(page, "Hello", samples=3, other='{"tokens_per_second": 200, "tokens": 100}')
    await page.keyboard.press("Control+Enter")
    await page.get_by_text("3 of 3 samples finished").wait_for()
    announced: list[str] = await page.evaluate("window.announced")
    assert announced[-1] == "3 of 3 samples finished"
    assert "Running" in announced
    assert len(announced) < 8


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
async def test_reduced_motion_turns_animations_off(
    browser: Browser, server: EmbeddedServer, client: AsyncHumanloop, motion: Any
) -> None:
    running = "() => document.getAnimations().length"
    async with opened(browser, f"{root(server)}#key={server.api_key}", reduced_motion=motion) as page:
        await write(page, "Hello", project="moving", other='{"tokens_per_second": 20, "tokens": 400}')
        await page.keyboard.press("Control+Enter")
        await page.locator(".sample.running .flow > div").first.wait_for()
        streaming = await page.evaluate(running)
        await page.keyboard.press("Escape")
        await page.get_by_text("Stopped", exact=True).wait_for()
        (project,) = [project async for project in client.projects.list()]
        await show(page, f"#/projects/{project.id}/logs")
        await page.evaluate(
            "() => { window.started = 0; document.addEventListener('animationstart', () => { window.started += 1; }); }"
        )
        await client.log(project="moving", output="a new log", config={"type": "model", "model": "m"})
        await page.locator(".log-row", has_text="a new log").wait_for()
        await page.wait_for_timeout(100)
        assert (streaming > 0, await page.evaluate("window.started") > 0) == ((motion == "no-preference",) * 2)


async def test_right_to_left_text_is_shown_right_to_left(page: Page, client: AsyncHumanloop) -> None:
    """Each text has its direction wherever it is shown, and the page around it does not change."""
    text = "النهر يحمل ما كتبه التل"
    log = await client.log(
        project="اختبار",
        session_reference_id="s",
        messages=[{"role": "user", "content": text}],
        inputs={"question": text},
        output=f"{text}\n{text}",
        config={"type": "model", "model": "m"},
    )
    project, record = str(log.project_id), await client.logs.get(log.id)
    direction = """(text) => {
      const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
      const found = [];
      while (walker.nextNode()) {
        const { data, parentElement } = walker.currentNode;
        if (data.includes(text)) found.push(getComputedStyle(parentElement).direction);
      }
      return found;
    }"""
    for address in (
        f"#/projects/{project}/logs",
        f"#/projects/{project}/sessions",
        f"#/logs/{log.id}",
        f"#/sessions/{record.session_id}",
    ):
        await show(page, address)
        found = await page.evaluate(direction, text)
        assert found, address
        assert set(found) == {"rtl"}, address
    for address in ("#/projects", f"#/projects/{project}/logs"):
        await show(page, address)
        assert set(await page.evaluate(direction, "اختبار")) == {"rtl"}, address
    await show(page, "#/playground")
    await page.get_by_label("Your message").fill(text)
    assert await page.get_by_label("Your message").evaluate("(box) => getComputedStyle(box).direction") == "rtl"
    assert await page.evaluate("getComputedStyle(document.body).direction") == "ltr"
