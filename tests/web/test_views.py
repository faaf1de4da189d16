"""Every view in a browser, against the embedded server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop, EmbeddedServer
from tests.web.browser import client_url, generated, opened, root, show, write

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{constructor}}'
SLOW: dict[str, Any] = {"tokens_per_second": 20, "tokens": 200}


async def fill_project(client: AsyncHumanloop, name: str = "greeter", text: str = "Hello") -> dict[str, str]:
    """Create an object of each kind whose texts contain `text`, and return the addresses of their views."""
    configs: list[str] = []
    for model in ("one", "two"):
        chat = await client.chat(
            project=name,
            session_reference_id=f"session {text}",
            messages=[
                {"role": "user", "content": text},
                {"role": "assistant", "content": text},
                {"role": "tool", "content": text, "tool_call_id": "1", "name": "t"},
                {"role": "user", "content": text},
            ],
            inputs={"name": text},
            metadata={"note": text},
            model_config={
                "provider": "mock",
                "model": model,
                "name": f"{model} {text}",
                "max_tokens": 5,
                "chat_template": [
                    {"role": "system", "content": f"Be kind to {{{{name}}}}.\n{text.partition('{{')[0]}\n{model}"}
                ],
            },
        )
        configs.append(str(chat.data[0].model_config_id))
    project, log = str(chat.project_id), chat.data[0].id
    await client.log(project=name, output=text, error=text, config={"type": "generic", "name": text})
    await client.feedback(type="comment", data_id=log, value=text)
    await client.projects.deploy_config(project_id=project, config_id=configs[0])
    await client.experiments.create(
        project_id=project, name=text, positive_labels=[{"type": "rating", "value": "good"}], config_ids=configs
    )
    dataset = await client.datasets.create(project, name=text, description=text)
    await client.datasets.create_datapoint(dataset.id, log_ids=[log])
    evaluator = await client.evaluators.create(
        name=text[:200], description="", type="human", arguments_type="target_free", return_type="boolean"
    )
    evaluation = await client.evaluations.create(
        project, config_id=configs[0], dataset_id=dataset.id, evaluator_ids=[evaluator.id], name=text
    )
    await generated(client, evaluation.id, 1)
    base = f"#/projects/{project}"
    return {
        "playground": "#/playground",
        "projects": "#/projects",
        **{tab: f"{base}/{tab}" for tab in ("logs", "configs", "experiments", "sessions", "datasets", "evaluations")},
        "difference": f"{base}/configs?a={configs[0]}&b={configs[1]}",
        "log": f"#/logs/{log}",
        "playground of a log": f"#/playground?log={log}",
        "session": f"#/sessions/{chat.session_id}",
        "dataset": f"#/datasets/{dataset.id}",
        "evaluation": f"#/evaluations/{evaluation.id}",
        "judging": f"#/evaluations/{evaluation.id}?judge=1",
    }


async def test_hostile_texts_stay_texts_in_every_view(page: Page, client: AsyncHumanloop) -> None:
    views = await fill_project(client, HOSTILE, HOSTILE)
    for name, address in views.items():
        await show(page, address)
        assert await page.evaluate("window.hacked") is None, name
        assert await page.locator("img:not(.thumbnail), main script").count() == 0, name
        if name not in ("playground", "session"):
            assert "<img src=x" in await page.content() or "&lt;img src=x" in await page.content(), name


async def test_axe_finds_no_violations(browser: Browser, server: EmbeddedServer, client: AsyncHumanloop) -> None:
    """WCAG 2.2 A and AA, in both colour schemes, for every view with content."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed")
    views = await fill_project(client)
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    for scheme in ("light", "dark"):
        async with opened(
            browser, f"{root(server)}#key={server.api_key}", color_scheme=scheme, bypass_csp=True
        ) as page:
            for name, address in views.items():
                await show(page, address)
                found = await axe.Axe().run(page, options=options)
                violations = [(one["id"], one["nodes"][0]["html"][:200]) for one in found.response["violations"]]
                assert violations == [], f"{name}, {scheme}"


async def test_empty_views_show_the_next_step(page: Page, client: AsyncHumanloop) -> None:
    await show(page, "#/projects")
    assert "client.chat(" in await page.locator(".empty code").inner_text()
    project = await client.projects.create(name="nothing")
    for tab in ("logs", "configs", "experiments", "sessions", "datasets", "evaluations"):
        await show(page, f"#/projects/{project.id}/{tab}")
        code = await page.locator(".empty code").inner_text()
        assert client_url(page) in code, tab
        assert "nothing" in code or project.id in code, tab


async def test_the_key_leaves_the_address_and_stays_in_the_tab(page: Page, server: EmbeddedServer) -> None:
    await page.get_by_label("Your message").wait_for()
    assert server.api_key not in page.url
    assert await page.evaluate("[localStorage.length > 1, document.cookie]") == [False, ""]
    other = await page.context.new_page()
    await other.goto(page.url)
    await other.get_by_label("Key of this server").fill("wrong")
    await other.get_by_role("button", name="Continue").click()
    await other.get_by_text("This server does not accept the key.").wait_for()
    await other.get_by_label("Key of this server").fill(server.api_key)
    await other.get_by_role("button", name="Continue").click()
    await other.get_by_label("Your message").wait_for()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("Key of this server").wait_for()
    assert await other.get_by_label("Your message").is_visible()


async def test_back_and_forward(page: Page, client: AsyncHumanloop) -> None:
    views = await fill_project(client)
    for name in ("projects", "logs", "log"):
        await show(page, views[name])
    await page.go_back()
    await page.locator(".log-row").first.wait_for()
    await page.go_back()
    await page.get_by_role("heading", name="Projects").wait_for()
    await page.go_forward()
    await page.locator(".log-row").first.wait_for()


async def test_samples_stream_side_by_side_and_stop(page: Page) -> None:
    """Each sample grows on its own, token by token, until Esc."""
    await write(page, "Hello", samples=3, other='{"tokens_per_second": 30, "tokens": 500}')
    await page.keyboard.press("Control+Enter")
    texts = page.locator(".sample .output .text")
    seen: set[tuple[int, ...]] = set()
    await page.locator(".sample .flow > div").nth(2).wait_for()
    for _ in range(20):
        seen.add(tuple(len(text) for text in await texts.all_inner_texts()))
        await page.wait_for_timeout(50)
    assert len(seen) > 5
    await page.keyboard.press("Escape")
    await page.get_by_text("Stopped", exact=True).wait_for()
    assert await page.locator(".sample .badge", has_text="stopped").count() == 3
    kept = await texts.all_inner_texts()
    assert all(kept)
    await page.wait_for_timeout(200)
    assert await texts.all_inner_texts() == kept


async def test_a_broken_stream_keeps_its_text_and_shows_the_reason(page: Page) -> None:
    await write(page, "Hello", other='{"fail_after": 4, "status": 503}')
    await page.keyboard.press("Control+Enter")
    await page.locator(".problem", has_text="failed after 4 chunks").wait_for()
    assert await page.locator(".sample .output .text").inner_text() != ""


async def test_continue_a_conversation_and_open_its_log(page: Page, client: AsyncHumanloop) -> None:
    await write(page, "First", project="talk")
    await page.keyboard.press("Control+Enter")
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_label("Your message").fill("Second")
    await page.keyboard.press("Control+Enter")
    await page.get_by_role("link", name="Open log").click()
    await page.get_by_role("heading", name="Log", exact=True).wait_for()
    roles = [text.strip() for text in await page.locator(".message > header").all_inner_texts()]
    assert roles == ["user", "assistant", "user"]
    (project,) = [project async for project in client.projects.list()]
    logs = [log async for log in client.logs.list(project_id=project.id)]
    assert len({log.session_id for log in logs}) == 1


async def test_new_logs_appear_and_feedback_is_given_by_key(page: Page, client: AsyncHumanloop) -> None:
    config: Any = {"provider": "mock", "model": "m"}
    first = await client.chat(project="live", messages=[{"role": "user", "content": "old"}], model_config=config)
    await show(page, f"#/projects/{first.project_id}/logs")
    before = await page.locator(".log-row").count()
    await client.chat(project="live", messages=[{"role": "user", "content": "live"}], model_config=config)
    await page.locator(".log-row", has_text="live").wait_for()
    assert await page.locator(".log-row").count() == before + 1
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Log", exact=True).wait_for()
    pressed = page.locator('.feedback-keys [aria-pressed="true"]')
    await page.keyboard.press("1")
    await pressed.wait_for()
    log = await client.logs.get(page.url.rpartition("/")[2])
    assert log.feedback is not None
    (given,) = log.feedback
    assert f"{given.type}: {given.value}" in await pressed.inner_text()
    await page.keyboard.press("1")
    await pressed.wait_for(state="detached")


@pytest.mark.timeout(90)
async def test_paging_is_stable_while_logs_arrive(page: Page, client: AsyncHumanloop) -> None:
    config: Any = {"type": "model", "model": "m"}
    await client.log([{"project": "many", "config": config, "output": f"log {n}"} for n in range(120)])
    (project,) = [project async for project in client.projects.list()]
    await show(page, f"#/projects/{project.id}/logs")
    await page.get_by_label("Live").uncheck()
    await client.log([{"project": "many", "config": config, "output": f"new {n}"} for n in range(7)])
    for shown in (93, 113):
        await page.get_by_role("button", name="Load more").click()
        await page.wait_for_function("(n) => document.querySelectorAll('.log-row').length >= n", arg=shown)
    while await page.get_by_role("button", name="Load more").is_visible():
        await page.get_by_role("button", name="Load more").click()
        await page.wait_for_timeout(150)
    outputs = re.findall(r"log \d+", await page.locator(".log-table").inner_text())
    assert len(outputs) == len(set(outputs)) == 120


async def test_a_lost_server_is_shown_and_found_again(browser: Browser, tmp_path: Any) -> None:
    from humanloop_async.server import ServerSettings

    database = tmp_path / "humanloop.db"
    async with (
        EmbeddedServer(database=database, api_key="the-key") as first,
        AsyncHumanloop("the-key", base_url=first.base_url) as client,
    ):
        port = int(first.base_url.split(":")[2].partition("/")[0])
        views = await fill_project(client)
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{root(first)}#key=the-key")
        await page.get_by_label("Your message").wait_for()
        await show(page, views["logs"])
    await page.get_by_text("Server unreachable").wait_for(timeout=15_000)
    async with EmbeddedServer(database=database, api_key="the-key", settings=ServerSettings(port=port)):
        await page.get_by_text("Server unreachable").wait_for(state="hidden", timeout=25_000)
    await context.close()


async def test_an_image_is_pasted_and_sent(page: Page, client: AsyncHumanloop) -> None:
    await write(page, "What is this?", project="images")
    await page.get_by_label("Your message").evaluate(
        """(input) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array([137, 80, 78, 71])], "a.png", { type: "image/png" }));
          input.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    await page.locator(".composer .thumbnail").wait_for()
    await page.keyboard.press("Control+Enter")
    await page.get_by_role("link", name="Open log").click()
    await page.locator(".message .thumbnail").wait_for()


async def test_ten_thousand_lines_do_not_block_the_page(page: Page) -> None:
    """Written in small pieces, as a stream brings them; the time of the last tenth is about that of the first."""
    times = await page.evaluate(
        """async () => {
          const { Flow } = await import("/page/flow.js");
          const box = document.body.appendChild(document.createElement("div"));
          const flow = new Flow(box);
          const times = [];
          for (let part = 0; part < 10; part += 1) {
            const start = performance.now();
            for (let line = 0; line < 1000; line += 1) {
              flow.append(`line ${part * 1000 + line} with some words\\n`);
              if (line % 50 === 0) { flow.write(); box.offsetHeight; }
            }
            flow.write();
            times.push(performance.now() - start);
          }
          return [times, box.textContent.length, box.querySelectorAll('[dir]').length];
        }"""
    )
    assert times[1] > 250_000
    assert times[2] > 50
    assert times[0][-1] < 1000
