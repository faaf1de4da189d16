"""Datasets and evaluations in a browser: rows, progress, judgments of every type, results side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop
from humanloop_async.server.providers.mock_script import MockReply, MockScript
from tests.server.served import rows
from tests.web.browser import generated, show

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTIONS = ("one", "two", "three")


class Material:
    """A project with a config and a dataset of three questions."""

    def __init__(self, client: AsyncHumanloop, project: str, configs: list[str], dataset: str) -> None:
        self.client, self.project, self.configs, self.dataset = client, project, configs, dataset

    @classmethod
    async def create(cls, client: AsyncHumanloop) -> Material:
        configs: list[str] = []
        for model in ("a", "b"):
            config = await client.model_configs.register(
                project="judged",
                provider="mock",
                model=model,
                endpoint="complete",
                prompt_template="Say {{word}}.",
                name=f"config {model}",
                max_tokens=3,
            )
            configs.append(str(config.config.id))
        dataset = await client.datasets.create(config.project_id, name="words", description="")
        await client.datasets.create_datapoint(
            dataset.id, [{"inputs": {"word": word}, "target": {"output": word}} for word in QUESTIONS]
        )
        return cls(client, config.project_id, configs, dataset.id)

    async def evaluator(self, return_type: Any, name: str = "judge", **fields: Any) -> str:
        evaluator = await self.client.evaluators.create(
            **{
                "name": name,
                "description": "A question",
                "type": "human",
                "arguments_type": "target_free",
                "return_type": return_type,
                **fields,
            }
        )
        return evaluator.id

    async def evaluation(self, *evaluators: str, config: int = 0, name: str = "evaluation") -> str:
        evaluation = await self.client.evaluations.create(
            self.project,
            config_id=self.configs[config],
            dataset_id=self.dataset,
            evaluator_ids=[*evaluators],
            name=name,
        )
        return evaluation.id

    async def values(self, evaluation: str) -> list[Any]:
        """Return the judgments, in the order of the questions."""
        records = [record async for record in self.client.evaluations.list_datapoints(evaluation)]
        return [[result.value for result in record.evaluation_results or []] for record in records]


async def test_judgments_one_by_one_by_key(page: Page, client: AsyncHumanloop) -> None:
    """Each key judges the log that is shown; a skipped one stays open."""
    made = await Material.create(client)
    evaluation = await made.evaluation(await made.evaluator("boolean", name="Is it kind?"))
    await generated(client, evaluation, len(QUESTIONS))
    await show(page, f"#/evaluations/{evaluation}")
    await page.get_by_role("link", name="Judge one by one").click()
    await page.get_by_role("heading", name="Datapoint 1 of 3").wait_for()
    await page.keyboard.press("1")
    await page.get_by_role("heading", name="Datapoint 2 of 3").wait_for()
    assert await page.get_by_label("Judging").get_by_text("two", exact=True).count() == 1
    await page.keyboard.press("s")
    await page.get_by_role("heading", name="Datapoint 3 of 3").wait_for()
    await page.keyboard.press("2")
    await page.get_by_text("No other log is left to judge; you skipped 1.").wait_for()
    assert await made.values(evaluation) == [[True], [], [False]]
    await page.get_by_text("2 of 3 results").wait_for()
    await page.get_by_role("button", name="Look again").click()
    await page.get_by_role("heading", name="Datapoint 2 of 3").wait_for()
    await page.get_by_role("button", name="Yes").click()
    await page.get_by_text("No log is left to judge.").wait_for()
    await page.get_by_role("button", name="Complete").click()
    await page.get_by_role("region", name="Results").wait_for()
    assert await page.locator("td .badge").all_inner_texts() == ["true", "true", "false"]
    bars = await page.locator(".bars > div").all_inner_texts()
    assert [bar.split() for bar in bars] == [["false", "1"], ["true", "2"]]


async def test_every_type_of_judgment(page: Page, client: AsyncHumanloop, database: Path) -> None:
    """A number, a text, a choice and several choices, with and without options; all of one log, then the next."""
    made = await Material.create(client)
    options = '[{"name": "short"}, {"name": "long"}]'
    ids = [
        await made.evaluator("number", name="Stars"),
        await made.evaluator("text", name="Remark"),
        await made.evaluator("select", name="Length"),
        await made.evaluator("multi_select", name="Faults"),
        await made.evaluator("select", name="Word"),
        await made.evaluator("multi_select", name="Words"),
    ]
    # v4 cannot create options; imports of later versions have them.
    for evaluator in ids[2:4]:
        rows(str(database), "UPDATE evaluator_versions SET options = ? WHERE evaluator_id = ?", options, evaluator)
    evaluation = await made.evaluation(*ids)
    await generated(client, evaluation, len(QUESTIONS))
    await show(page, f"#/evaluations/{evaluation}?judge=1")
    judging = page.get_by_label("Judging")
    await judging.get_by_label("Judgment: Stars").press("Enter")  # nothing is stored: the field is empty
    await judging.get_by_label("Judgment: Stars").fill("4.5")
    await judging.get_by_label("Judgment: Stars").press("Enter")
    await judging.locator(".badge", has_text="4.5").wait_for()
    await judging.get_by_label("Judgment: Remark").fill("Rather dull")
    await judging.get_by_label("Judgment: Remark").locator("xpath=..").get_by_role("button", name="Save").click()
    await judging.locator(".badge", has_text="Rather dull").wait_for()
    await judging.get_by_role("button", name="long").click()
    await judging.locator(".badge", has_text="long").wait_for()
    faults = judging.get_by_label("Judgment: Faults")
    await faults.get_by_label("short").check()
    await faults.get_by_label("long").check()
    await faults.get_by_role("button", name="Save").click()
    await judging.get_by_text('["short","long"]').wait_for()
    await judging.get_by_label("Judgment: Word", exact=True).fill("amber")
    await judging.get_by_label("Judgment: Word", exact=True).press("Enter")
    await judging.locator(".badge", has_text="amber").wait_for()
    await judging.get_by_label("Judgment: Words").fill("amber, blue")
    await judging.get_by_label("Judgment: Words").press("Enter")
    await page.get_by_role("heading", name="Datapoint 2 of 3").wait_for()
    [values, *others] = await made.values(evaluation)
    assert values == [4.5, "Rather dull", "long", ["short", "long"], "amber", ["amber", "blue"]]
    assert others == [[], []]


async def test_a_judgment_that_is_being_written_survives_updates(page: Page, client: AsyncHumanloop) -> None:
    """The view reads the progress of a running evaluation; other judgments arrive."""
    made = await Material.create(client)
    number = await made.evaluator("number", name="Stars")
    evaluation = await made.evaluation(number)
    await generated(client, evaluation, len(QUESTIONS))
    await show(page, f"#/evaluations/{evaluation}")
    await page.get_by_label("Judgment: Stars").first.fill("3")
    records = [record async for record in client.evaluations.list_datapoints(evaluation)]
    assert records[2].log is not None
    await client.evaluations.result(evaluation, log_id=records[2].log.id, evaluator_id=number, result=5)
    await page.get_by_text("1 of 3 results").wait_for()
    assert await page.get_by_label("Judgment: Stars").first.input_value() == "3"
    await page.get_by_label("Judgment: Stars").first.press("Enter")
    await page.get_by_text("2 of 3 results").wait_for()
    assert await made.values(evaluation) == [[3], [], [5]]


async def test_the_progress_of_a_running_evaluation(page: Page, client: AsyncHumanloop, script: MockScript) -> None:
    """The bar grows, and the results appear, without a reload."""
    script.add(MockReply(prompt="one", text="1"), MockReply(prompt="two", text="2"))
    script.add(MockReply(prompt="three", text="3", delay=4))
    made = await Material.create(client)
    code = "def judge(log):\n    return log['output'] != '2'\n"
    await made.evaluation(await made.evaluator("boolean", type="python", code=code))
    await show(page, f"#/projects/{made.project}/evaluations")
    await page.get_by_role("row", name="evaluation").get_by_text("running").wait_for()
    await page.get_by_role("link", name="evaluation", exact=True).click()
    await page.get_by_text("2 of 3 results").wait_for()
    await page.get_by_text("not generated yet").wait_for()
    await page.get_by_text("3 of 3 results").wait_for()
    await page.locator(".badge", has_text="completed").wait_for()
    await page.get_by_text("not generated yet").wait_for(state="detached")
    assert await page.locator("td .badge").all_inner_texts() == ["true", "false", "true"]
    assert await page.locator("td a").all_inner_texts() == ["1", "2", "3"]
    assert "0.667" in await page.locator(".facts").first.inner_text()


async def test_two_configs_side_by_side(page: Page, client: AsyncHumanloop) -> None:
    made = await Material.create(client)
    code = "def judge(log):\n    return len(log['output'])\n"
    evaluator = await made.evaluator("number", type="python", code=code)
    first, second = [await made.evaluation(evaluator, config=n, name=f"of {n}") for n in (0, 1)]
    await generated(client, first, len(QUESTIONS))
    await generated(client, second, len(QUESTIONS))
    await show(page, f"#/evaluations/{first}")
    await page.get_by_label("Compare with").select_option("of 1")
    await page.get_by_role("columnheader", name="Output (other)").wait_for()
    outputs = [
        [str(record.log.output) async for record in client.evaluations.list_datapoints(one) if record.log is not None]
        for one in (first, second)
    ]
    shown = [await row.locator("td a").all_inner_texts() for row in await page.locator("tbody tr").all()]
    assert shown == [[a, b] for a, b in zip(*outputs, strict=True)]


async def test_the_rows_of_a_dataset(page: Page, client: AsyncHumanloop) -> None:
    made = await Material.create(client)
    await show(page, f"#/projects/{made.project}/datasets")
    await page.get_by_role("link", name="words").click()
    await page.get_by_text("3 datapoints").wait_for()
    texts = await page.locator("tbody tr").all_inner_texts()
    assert ["one" in texts[0], "two" in texts[1], "three" in texts[2]] == [True] * 3
