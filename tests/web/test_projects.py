"""Projects in a browser: the list, configs and their difference, deployments, experiments, two tabs."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop
from tests.web.browser import show, write

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: Any = [{"role": "user", "content": "Hello"}]


async def register(client: AsyncHumanloop, name: str, **fields: Any) -> tuple[str, str]:
    """Register a config of the project "shop", and return the ids of both."""
    saved = await client.model_configs.register(
        **{"project": "shop", "provider": "mock", "model": "m", "endpoint": "chat", "name": name, **fields}
    )
    return saved.project_id, str(saved.config.id)


async def deployed(client: AsyncHumanloop, project: str) -> str | None:
    """Return the name of the config that is deployed to the default environment."""
    config = (await client.projects.get(project)).active_config
    return None if config is None else config.config.name


async def test_projects_are_listed_searched_and_created(page: Page, client: AsyncHumanloop) -> None:
    """In pages, by name; the address keeps the search."""
    for number in range(52):
        await client.projects.create(name=f"project {number:02}")
    await register(client, "first")
    await show(page, "#/projects")
    assert await page.locator("tbody tr").count() == 50
    row = page.get_by_role("row", name="shop")
    assert (await row.inner_text()).split("\n\t\n")[0].split() == ["shop", "first", "0", "now"]
    await page.get_by_role("button", name="Next").click()
    await page.get_by_text("Page 2 of 2").wait_for()
    assert await page.locator("tbody tr").count() == 3
    await page.get_by_label("Search").fill("PROJECT 4")
    await page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 10")
    await page.reload()
    await page.get_by_label("Search").wait_for()
    assert await page.locator("tbody tr").count() == 10
    await page.get_by_label("Search").fill("nowhere")
    await page.get_by_text("No project has this name.").wait_for()
    await page.get_by_role("button", name="New project…").click()
    await page.get_by_role("dialog").get_by_label("Name").fill("shop")
    await page.get_by_role("button", name="Create").click()
    await page.get_by_text("there is already a project 'shop'").wait_for()
    await page.get_by_role("dialog").get_by_label("Name").fill("another")
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("heading", name="another").wait_for()


async def test_deploy_and_roll_back(page: Page, client: AsyncHumanloop) -> None:
    project, _ = await register(client, "first")
    await register(client, "second", temperature=0.5)
    await show(page, f"#/projects/{project}/configs")
    deployments = page.get_by_role("region", name="Deployments")
    await deployments.get_by_text("first").wait_for()  # the first registered config is deployed
    await page.get_by_role("row", name="Compare second").get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("replaces first").wait_for()
    await dialog.get_by_role("button", name="Deploy").click()
    await deployments.get_by_role("button", name="Roll back to first").wait_for()
    assert await deployed(client, project) == "second"
    await deployments.get_by_role("button", name="Roll back to first").click()
    await deployments.get_by_role("button", name="Roll back to second").wait_for()
    assert await deployed(client, project) == "first"
    await deployments.get_by_role("button", name="Remove").click()
    await deployments.get_by_text("nothing deployed").wait_for()
    assert await deployed(client, project) is None


async def test_the_difference_of_two_configs(page: Page, client: AsyncHumanloop) -> None:
    """Only what differs, with the lines that one of them has; both can be compared in the playground."""

    def template(*lines: str) -> list[Any]:
        return [{"role": "system", "content": "\n".join(lines)}]

    project, first = await register(client, "first", chat_template=template("Be kind.", "Be brief."))
    _, second = await register(client, "second", chat_template=template("Be kind.", "Be long."), temperature=0.5)
    await show(page, f"#/projects/{project}/configs")
    await page.get_by_label("Compare first").check()
    await page.get_by_text("Select a second config to compare.").wait_for()
    await page.get_by_label("Compare second").check()
    difference = page.get_by_label("Difference", exact=True).first
    names = await difference.get_by_role("rowheader").all_inner_texts()
    assert sorted(names) == ["chat_template", "temperature"]
    assert [text.strip() for text in await difference.locator("del").all_inner_texts()] == ["1", 'Be brief."']
    assert [text.strip() for text in await difference.locator("ins").all_inner_texts()] == ["0.5", 'Be long."']
    assert page.url.endswith(f"?a={first}&b={second}")
    await page.get_by_role("link", name="Compare in playground").click()
    await page.get_by_label("Your message").wait_for()
    systems = page.get_by_label("System message")
    assert [await systems.nth(n).input_value() for n in (0, 1)] == ["Be kind.\nBe brief.", "Be kind.\nBe long."]
    assert await page.get_by_label("Compare two configurations").is_checked()


async def test_many_configs_are_shown_in_parts(page: Page, client: AsyncHumanloop) -> None:
    """The newest first; the others on demand."""
    logs: list[Any] = [
        {"project": "shop", "config": {"type": "model", "model": "m", "prompt_template": str(number)}, "output": "x"}
        for number in range(103)
    ]
    project = (await client.log(logs))[0].project_id
    await show(page, f"#/projects/{project}/configs")
    rows = page.get_by_role("region", name="Configs").locator("tbody tr")
    assert await rows.count() == 100
    await page.get_by_role("button", name="Show all 103").click()
    assert await rows.count() == 103
    assert await page.get_by_role("button", name="Show all").count() == 0


async def test_figures_of_a_config(page: Page, client: AsyncHumanloop) -> None:
    """Feedback by label, and the means of evaluators, by their names."""
    project, config = await register(client, "first")
    logs = [await client.chat_deployed(project="shop", messages=HELLO) for _ in range(3)]
    for log, value in zip(logs, ("good", "good", "bad"), strict=True):
        await client.feedback(type="rating", value=value, data_id=log.data[0].id)
    evaluator = await client.evaluators.create(
        name="Length", description="", type="external", arguments_type="target_free", return_type="number"
    )
    dataset = await client.datasets.create(project, name="d", description="")
    [point] = await client.datasets.create_datapoint(dataset.id, log_ids=[logs[0].data[0].id])
    evaluation = await client.evaluations.create(
        project, config_id=config, dataset_id=dataset.id, evaluator_ids=[evaluator.id], hl_generated=False
    )
    sent = await client.evaluations.log(
        evaluation.id, datapoint_id=point.id, log={"project": "shop", "config_id": config, "output": "four"}
    )
    await client.evaluations.result(evaluation.id, log_id=sent.id, evaluator_id=evaluator.id, result=4)
    await show(page, f"#/projects/{project}/configs")
    row = page.get_by_role("row", name="Compare first")
    badges = await row.locator(".badge").all_inner_texts()
    assert badges == ["production", "rating bad: 1", "rating good: 2", "Length: 4"]
    assert "4" in await row.locator("td.number").inner_text()


async def test_an_experiment_starts_shows_its_arms_and_stops(page: Page, client: AsyncHumanloop) -> None:
    project, _ = await register(client, "first")
    await register(client, "second", temperature=0.5)
    await show(page, f"#/projects/{project}/experiments")
    await page.get_by_role("button", name="New experiment…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("warmer")
    await dialog.get_by_role("button", name="Create").click()
    await dialog.get_by_text("Choose at least one config.").wait_for()
    for name in ("first", "second"):
        await dialog.get_by_label(re.compile(name)).check()
    await dialog.get_by_role("button", name="Create").click()
    card = page.get_by_label("warmer", exact=True)
    await card.get_by_text("stopped").wait_for()
    assert await card.get_by_text("no feedback yet").count() == 2
    await card.get_by_role("button", name="Start…").click()
    await dialog.get_by_role("button", name="Deploy").click()
    await card.get_by_text("running in").wait_for()
    calls = Counter[str]()
    for number in range(12):
        made = await client.chat_deployed(project="shop", messages=HELLO)
        calls[str(made.data[0].model_config_id)] += 1
        await client.feedback(type="rating", value="good" if number % 3 else "bad", data_id=made.data[0].id)
    await page.reload()
    await card.get_by_text("running in").wait_for()
    [experiment] = await client.experiments.list(project)
    for arm in experiment.configs or []:
        assert arm.mean is not None
        row = card.get_by_role("row", name=arm.display_name)
        mean, interval = arm.mean, await row.locator(".interval").get_attribute("aria-label")
        assert f"{mean * 100:.1f} %" in await row.inner_text()
        assert str(calls[arm.id]) in await row.inner_text()
        low, high = (float(text) for text in re.findall(r"[\d.]+", interval or ""))
        assert low <= mean * 100 <= high
        assert low < high
    first = card.get_by_role("row", name="first")
    await first.get_by_role("button", name="Deactivate").click()
    await first.get_by_text("inactive").wait_for()
    used = {(await client.chat_deployed(project="shop", messages=HELLO)).data[0].model_config_id for _ in range(5)}
    assert len(used) == 1
    await card.get_by_role("button", name="Stop").click()
    await card.get_by_text("stopped").wait_for()
    assert (await client.projects.get(project)).active_experiment is None


async def test_two_tabs(page: Page, client: AsyncHumanloop) -> None:
    """A call in one tab appears in the logs of the other; their drafts and choices are separate."""
    project = await client.projects.create(name="shop")
    await page.get_by_label("Your message").wait_for()
    key = await page.evaluate("sessionStorage.getItem('humanloop-api-key')")
    other = await page.context.new_page()
    await other.goto(f"{page.url.partition('#')[0]}#key={key}&/projects/{project.id}/logs")
    await other.get_by_text("No logs yet").wait_for()
    await write(page, "From the first tab", project="shop")
    await page.keyboard.press("Control+Enter")
    await other.locator(".log-row", has_text="From the first tab").wait_for()
    await show(other, "#/playground")
    assert await other.get_by_label("Your message").input_value() == ""
    await other.get_by_role("button", name="Sign out").click()
    await other.get_by_label("Key of this server").wait_for()
    await show(page, f"#/projects/{project.id}/logs")
    assert await page.locator(".log-row").count() == 1
