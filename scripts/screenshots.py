"""Take pictures of every view of the web page: ``python scripts/screenshots.py OUT``.

An embedded server is filled with the prompts, logs and evaluations of an imaginary shop. Each view is shown in light
and dark, 1280 and 360 pixels wide. ``--docs`` writes the four pictures of the documentation to ``docs/images``
instead. Needs the dependency group ``browser`` and an installed Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanloop_async import ApiException, AsyncHumanloop, EmbeddedServer
from humanloop_async.server.providers.mock_script import (
    MockError,
    MockReply,
    MockSample,
    MockScript,
    MockToolCall,
)
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.server.settings import ServerSettings

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PROJECT = "support replies"

QUESTIONS = [
    ("Where is my order 20418?", "Your order left our warehouse on Tuesday and should reach you tomorrow before noon."),
    (
        "Can I return shoes that I wore once?",
        "Yes. Worn shoes can come back within 30 days; we refund them as a voucher.",
    ),
    ("The mug arrived broken.", "I am sorry about the mug. A new one is on its way, and you can keep the old one."),
    ("Do you ship to Norway?", "We do, for 12 euros. Customs are included, so nothing is due at the door."),
    ("How do I change my address?", "Open *My account*, then *Addresses*. Orders that have shipped keep the old one."),
    ("أين طلبي رقم ٢٠٤٢٢؟", "غادر طلبك المستودع يوم الثلاثاء وسيصل إليك غدا قبل الظهر."),
]

LETTERS = [
    "I am sorry that your parcel is late. The carrier scanned it in Leipzig this morning, so it will most likely "
    "reach you tomorrow.\n\nIf it has not arrived by Friday, write to me again: I will send a replacement at once, and "
    "you need not wait for the search.",
    "Thank you for telling us. Your parcel 20418 was scanned in Leipzig at 06:12 today.\n\n- Expected: tomorrow before "
    "noon\n- If it is late again: we refund the shipping\n\nYou do not have to do anything.",
    "Your parcel is on its way and two days behind. I have asked the carrier for a new date and will write as soon as "
    "I know it.",
    "Leipzig, this morning, 06:12: that is the last scan of your parcel. Tomorrow before noon is realistic. I have "
    "added a voucher of 5 euros to your account for the wait.",
]


def script() -> MockScript:
    """Return what the provider ``mock`` replies."""
    letters = [MockSample(text=letter) for letter in LETTERS]
    letters[
        1
    ].reasoning = "The customer asks about a delay. I should give the last scan and a date, and not promise more."
    order = {"number": 20418, "fields": ["status", "carrier", "last_scan"]}
    return MockScript(
        [
            MockReply(prompt="still has not arrived", samples=letters, tokens_per_second=40),
            MockReply(
                prompt="look it up", text="I will look.", tool_calls=[MockToolCall(name="order", arguments=order)]
            ),
            MockReply(
                prompt="interrupt",
                text=LETTERS[0],
                error=MockError(status=529, message="the provider is overloaded", after=30),
            ),
            *(MockReply(prompt=question, text=answer) for question, answer in QUESTIONS),
        ]
    )


def config(name: str, model: str, system: str, **fields: Any) -> dict[str, Any]:
    """Return a configuration with a system message."""
    template = [{"role": "system", "content": system}]
    return {"name": name, "provider": "mock", "model": model, "chat_template": template, **fields}


FRIENDLY = config(
    "friendly",
    "small-2",
    "You answer customers of {{shop}}.\nBe friendly and brief.\nNever promise a date that the carrier has not "
    "confirmed.",
    description="Used since the launch",
    temperature=0.7,
)
PRECISE = config(
    "precise",
    "large-1",
    "You answer customers of {{shop}}.\nGive facts first: order, carrier, last scan.\nNever promise a date that the "
    "carrier has not confirmed.\nEnd with what the customer has to do, if anything.",
    description="Facts first",
    temperature=0.2,
    max_tokens=400,
)
TOOL = {
    "name": "order",
    "description": "Find an order",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
}


async def fill(client: AsyncHumanloop) -> dict[str, str]:
    """Create what the pictures show, and return the addresses of the views."""
    logs: list[str] = []
    configs: list[str] = []

    async def ask(question: str, setup: dict[str, Any], **fields: Any) -> str:
        call: dict[str, Any] = {
            "project": PROJECT,
            "model_config": setup,
            "inputs": {"shop": "Lantern & Co."},
            "messages": [{"role": "user", "content": question}],
            "user": "ada@example.org",
            "metadata": {"channel": "mail"},
            "max_retries": 0,
            **fields,
        }
        response = await client.chat(**call)
        logs.append(response.data[0].id)
        configs.append(str(response.data[0].model_config_id))
        return str(response.project_id)

    for number, (question, _) in enumerate(QUESTIONS * 3):
        await ask(question, (FRIENDLY, PRECISE)[number % 2], session_reference_id=f"conversation {number // 3 + 1}")
    project = await ask("Please look it up.", {**PRECISE, "tools": [TOOL]}, session_reference_id="conversation 1")
    tool_log = logs[-1]
    with suppress(ApiException):
        await ask("Please interrupt yourself.", FRIENDLY)
    for number, log in enumerate(logs[:-1]):
        if number % 4 != 3:
            await client.feedback(type="rating", data_id=log, value="bad" if number % 5 == 1 else "good")
    await client.feedback(type="comment", data_id=tool_log, value="Right tool, right number.", user="grace")
    friendly, precise = configs[0], configs[1]
    await client.projects.deploy_config(project_id=project, config_id=friendly)
    await client.experiments.create(
        project_id=project,
        name="facts first?",
        positive_labels=[{"type": "rating", "value": "good"}],
        config_ids=[friendly, precise],
    )
    dataset = await client.datasets.create(project, name="hard questions", description="Collected in March")
    await client.datasets.create_datapoint(dataset.id, log_ids=logs[:6])
    judge = await client.evaluators.create(
        name="is it polite?", description="", type="human", arguments_type="target_free", return_type="boolean"
    )
    stars = await client.evaluators.create(
        name="stars", description="", type="external", arguments_type="target_free", return_type="number"
    )
    evaluations = [
        await client.evaluations.create(
            project, config_id=one, dataset_id=dataset.id, evaluator_ids=[judge.id, stars.id], name=name
        )
        for one, name in ((friendly, "friendly, March"), (precise, "precise, March"))
    ]
    for number, evaluation in enumerate(evaluations):
        async with asyncio.timeout(60):
            while True:
                progress = (await client.evaluations.get(evaluation.id)).progress
                if progress is not None and progress.logs == 6:
                    break
                await asyncio.sleep(0.1)
        records = [record async for record in client.evaluations.list_datapoints(evaluation.id)]
        for place, record in enumerate(records[: 6 - 2 * number]):
            for evaluator, result in ((judge, place % 3 != number), (stars, 3 + place % 3)):
                await client.evaluations.result(
                    evaluation.id, log_id=record.log.id, evaluator_id=evaluator.id, result=result
                )
    for name in ("summaries", "ticket triage", "product texts"):
        for text in ("a", "b"):
            await client.log(
                project=name, output=text, config={"type": "model", "model": "small-2", "name": "first try"}
            )
    empty = await client.projects.create(name="new idea")
    session = (await client.logs.get(tool_log)).session_id
    base = f"#/projects/{project}"
    tabs = ("logs", "configs", "experiments", "sessions", "datasets", "evaluations")
    return {
        "projects": "#/projects",
        **{tab: f"{base}/{tab}" for tab in tabs},
        "difference": f"{base}/configs?a={friendly}&b={precise}",
        "log": f"#/logs/{tool_log}",
        "log-rtl": f"#/logs/{logs[5]}",
        "log-error": f"#/projects/{project}/logs?search=interrupt",
        "session": f"#/sessions/{session}",
        "dataset": f"#/datasets/{dataset.id}",
        "evaluation": f"#/evaluations/{evaluations[0].id}",
        "judging": f"#/evaluations/{evaluations[1].id}?judge=1",
        "compared": f"#/evaluations/{evaluations[0].id}?with={evaluations[1].id}",
        "empty": f"#/projects/{empty.id}/logs",
        "not-found": "#/nothing",
        "playground-form": f"#/playground?log={tool_log}",
    }


async def show(page: Page, address: str) -> None:
    """Go to a view and wait until it is complete."""
    await page.evaluate("(hash) => { location.hash = hash; }", address)
    await page.wait_for_function(
        "(hash) => location.hash.split('?')[0] === hash.split('?')[0]"
        " && document.querySelector('main h1') && !document.querySelector('main[aria-busy]')",
        arg=address,
    )
    await page.wait_for_timeout(300)


async def stream(page: Page, text: str, samples: int, *, seconds: float | None = None) -> None:
    """Run the playground until its samples have ended, or for a time."""
    await page.evaluate("sessionStorage.removeItem('humanloop-playground')")
    await show(page, f"#/playground?project={PROJECT}")
    await page.get_by_label("Model", exact=True).fill("large-1")
    await page.get_by_label("System message").fill("You answer customers of {{shop}}. Give facts first.")
    await page.get_by_label("{{shop}}").fill("Lantern & Co.")
    await page.get_by_label("Samples").fill(str(samples))
    await page.get_by_label("Your message").fill(text)
    await page.keyboard.press("Control+Enter")
    await page.locator(".sample").first.wait_for()
    if seconds is None:
        await page.locator(".sample.running").first.wait_for(state="detached", timeout=30_000)
        await page.wait_for_function("() => !document.querySelector('.sample.running')", timeout=30_000)
    else:
        await page.wait_for_timeout(seconds * 1000)


async def compare(page: Page) -> None:
    """Compare two configurations in the playground."""
    await page.get_by_label("Compare two configurations").check()
    await page.get_by_label("Samples").fill("1")
    await page.keyboard.press("Control+Enter")
    await page.get_by_role("button", name="Prefer this one").first.wait_for(timeout=30_000)


async def picture(page: Page, path: Path, *, full: bool = True) -> None:
    """Write the page as it is, as PNG or WebP."""
    session = await page.context.new_cdp_session(page)
    clip = None
    if full:
        height = await page.evaluate("document.documentElement.scrollHeight")
        size = page.viewport_size or {"width": 1280, "height": 800}
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(height, 4000), "scale": 1}
    kind = {"format": "webp", "quality": 82} if path.suffix == ".webp" else {"format": "png"}
    options = {**kind, **({"clip": clip, "captureBeyondViewport": True} if clip else {})}
    data = (await session.send("Page.captureScreenshot", options))["data"]
    path.write_bytes(base64.b64decode(data))  # noqa: ASYNC240


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """Start Chromium."""
    from playwright.async_api import async_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("install Chromium (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        try:
            yield running
        finally:
            await running.close()


@asynccontextmanager
async def opened(running: Browser, server: EmbeddedServer, scheme: Any, width: int) -> AsyncGenerator[Page]:
    """Open the page in a new profile."""
    size: Any = {"width": width, "height": 800}
    context = await running.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = await context.new_page()
    try:
        await page.goto(f"{server.base_url.removesuffix('v4')}#key={server.api_key}")
        await page.get_by_label("Your message").wait_for()
        yield page
    finally:
        await context.close()


LETTER = "My parcel 20418 still has not arrived, and you said Monday. Where is it?"


async def take_all(
    running: Browser, server: EmbeddedServer, views: dict[str, str], out: Path, only: list[str], widths: list[int]
) -> None:
    """Write pictures of all views, or of some."""
    for width in widths:
        for scheme in ("light", "dark"):
            async with opened(running, server, scheme, width) as page:

                async def take(name: str) -> None:
                    await picture(page, out / f"{name}-{width}-{scheme}.png")  # noqa: B023

                for name, address in views.items():
                    if not only or name in only:
                        await show(page, address)
                        await take(name)
                if only and "playground" not in only:
                    continue
                await stream(page, LETTER, 2, seconds=1)
                await take("playground-streaming")
                await page.keyboard.press("Escape")
                await stream(page, LETTER, 4)
                await take("playground")
                await compare(page)
                await take("playground-compared")
                await page.get_by_label("Compare two configurations").uncheck()
                await stream(page, "Please interrupt yourself.", 2)
                await take("playground-broken")
                await stream(page, "Please look it up.", 1)
                await take("playground-tool-call")
                await page.keyboard.press("?")
                await page.get_by_role("button", name="Save as a config…").click()
                await page.wait_for_timeout(200)
                await take("dialog")
                await page.keyboard.press("Escape")
                await page.get_by_role("button", name="Sign out").click()
                await page.wait_for_timeout(200)
                await take("sign-in")


async def take_for_documents(running: Browser, server: EmbeddedServer, views: dict[str, str]) -> None:
    """Write the four pictures of the documentation."""
    async with opened(running, server, "light", 1280) as page:
        await stream(page, LETTER, 4)
        await picture(page, IMAGES / "playground.webp", full=False)
        await show(page, views["logs"])
        await picture(page, IMAGES / "logs.webp", full=False)
        await show(page, views["evaluation"])
        await picture(page, IMAGES / "evaluation.webp", full=False)
    async with opened(running, server, "dark", 1280) as page:
        await show(page, views["log"])
        await picture(page, IMAGES / "log.webp", full=False)


async def run(out: Path | None, only: list[str], widths: list[int]) -> None:
    """Start the server and the browser, and take the pictures."""
    providers = ProviderSettings(local_gguf=Path("missing.gguf"), mock_script=script())
    async with (
        EmbeddedServer(settings=ServerSettings(providers=providers)) as server,
        AsyncHumanloop(server.api_key, base_url=server.base_url) as client,
        browser() as running,
    ):
        views = await fill(client)
        if out is None:
            return await take_for_documents(running, server, views)
        return await take_all(running, server, views, out, only, widths)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, help="folder of the pictures")
    parser.add_argument("--docs", action="store_true", help="write the pictures of the documentation")
    parser.add_argument("--only", nargs="*", default=[], help="names of views, such as logs or playground")
    parser.add_argument("--widths", nargs="*", type=int, default=[1280, 360], help="in pixels (default: 1280 360)")
    chosen = parser.parse_args()
    if (chosen.out is None) != chosen.docs:
        parser.error("name a folder, or use --docs")
    (chosen.out or IMAGES).mkdir(parents=True, exist_ok=True)
    asyncio.run(run(chosen.out, chosen.only, chosen.widths))


if __name__ == "__main__":
    main()
