"""The logs of a project in a browser: search, filters, live updates, pages, one log, sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from humanloop_async import AsyncHumanloop
from humanloop_async.server.providers.mock_script import MockReply, MockScript
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


async def test_the_filters_of_the_api(page: Page, client: AsyncHumanloop) -> None:
    """Each filter alone; the address keeps them, so that a reload shows the same list."""
    project = await project_of(
        client,
        {"output": "one", "source": "app", "metadata": {"team": "north"}, "created_at": "2026-01-01T12:00:00Z"},
        {"output": "two", "config": {"type": "model", "model": "n"}, "created_at": "2026-01-02T12:00:00Z"},
        {"output": "three", "inputs": {"x": "Needle"}, "created_at": "2026-01-03T12:00:00Z"},
    )
    *_, first = [log async for log in client.logs.list(project_id=project)]
    await client.feedback(type="rating", value="good", data_id=first.id)
    await show(page, f"#/projects/{project}/logs")
    assert await outputs(page) == ["three", "two", "one"]
    for label, value, expected in (
        ("Search inputs and outputs", "needle", ["three"]),
        ("Metadata contains", "north", ["one"]),
        ("Model", "n", ["two"]),
        ("Source", "app", ["one"]),
        ("From", "2026-01-02", ["three", "two"]),
        ("To", "2026-01-02", ["two", "one"]),
    ):
        control = page.get_by_label(label, exact=True)
        await control.fill(value)
        await page.get_by_text(f"{len(expected)} of {len(expected)} log").wait_for()
        assert await outputs(page) == expected
        await page.reload()
        await page.get_by_text(f"{len(expected)} of {len(expected)} log").wait_for()
        assert await outputs(page) == expected
        assert await control.input_value() == value
        await control.fill("")
        await page.get_by_text("3 of 3 logs").wait_for()
    await page.get_by_label("Feedback", exact=True).select_option("rating: good")
    await page.get_by_text("1 of 1 log").wait_for()
    assert await outputs(page) == ["one"]
    await page.get_by_label("Feedback", exact=True).select_option("any")
    await page.get_by_text("3 of 3 logs").wait_for()
    await page.get_by_label("Sort").select_option("oldest first")
    await page.locator(".log-row").first.get_by_text("one").wait_for()
    assert await outputs(page) == ["one", "two", "three"]


async def test_selected_logs_are_added_to_a_dataset(page: Page, client: AsyncHumanloop) -> None:
    """To a new one, by keys; then one more from its own view."""
    project = await project_of(
        client, *({"output": text, "inputs": {"word": text}} for text in ("one", "two", "three"))
    )
    await show(page, f"#/projects/{project}/logs")
    await page.locator(".log-row").nth(2).wait_for()
    for key in "jxjx":
        await page.keyboard.press(key)
    await page.get_by_text("2 logs selected").wait_for()
    await page.get_by_role("button", name="Add to dataset…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Add").click()
    await dialog.get_by_text("Enter a name for the dataset.").wait_for()
    await dialog.get_by_label("Name").fill("chosen")
    await dialog.get_by_role("button", name="Add").click()
    await page.get_by_text("Added 2 logs").wait_for()
    await page.get_by_role("button", name="Clear").click()
    assert await page.locator(".log-row input:checked").count() == 0
    await page.get_by_role("link", name="word: one").click()
    await page.get_by_role("heading", name="Log", exact=True).wait_for()
    await page.get_by_role("button", name="Add to dataset…").click()
    assert await dialog.get_by_label("Dataset").locator("option:checked").inner_text() == "chosen"
    await dialog.get_by_role("button", name="Add").click()
    await page.get_by_text("Added 1 log").wait_for()
    [dataset] = await client.datasets.list_all_for_project(project)
    points = [point async for point in client.datasets.list_datapoints(dataset.id)]
    assert sorted(str((point.inputs or {})["word"]) for point in points) == ["one", "three", "two"]


async def test_one_log_in_full(page: Page, client: AsyncHumanloop) -> None:
    """Messages, tool calls, tokens, times, the provider's request and response, and the error."""
    call: Any = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    project = await project_of(
        client,
        {
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": "sunny", "tool_call_id": "call_1", "name": "weather"},
            ],
            "output": "It is sunny.",
            "prompt_tokens": 12,
            "output_tokens": 34,
            "duration": 1.5,
            "error": "half of it is missing",
            "provider_request": {"sent": "request"},
            "provider_response": {"got": "response"},
            "environment": "staging",
        },
    )
    [log] = [log async for log in client.logs.list(project_id=project)]
    await show(page, f"#/logs/{log.id}")
    text = await page.locator("main").inner_text()
    for part in (
        "Weather?",
        '"city": "Paris"',
        "sunny",
        "It is sunny.",
        "half of it is missing",
        "12",
        "34",
        "1.50 s",
        "staging",
    ):
        assert part in text
    for summary, content in (("Provider request", '"sent": "request"'), ("Provider response", '"got": "response"')):
        await page.get_by_text(summary, exact=True).click()
        await page.get_by_text(content).wait_for()


async def test_feedback_of_every_type(page: Page, client: AsyncHumanloop) -> None:
    """Labels by button, texts, a number, and a label that is new."""
    project = await project_of(client, {"output": "one"})
    await client.projects.create_feedback_type(project, type="stars", class_="number")
    [log] = [log async for log in client.logs.list(project_id=project)]
    await show(page, f"#/logs/{log.id}")
    feedback = page.get_by_label("Feedback", exact=True)
    await feedback.get_by_role("button", name="rating: bad").click()
    await feedback.locator('[aria-pressed="true"]').wait_for()
    await feedback.get_by_text("Other feedback").click()
    for kind, value in (("comment", "Too short"), ("correction", "two"), ("stars", "4.5"), ("issue", "tone")):
        await feedback.get_by_label("Type of feedback").select_option(kind)
        await feedback.get_by_label("Value").fill(value)
        await feedback.get_by_role("button", name="Add").click()
        await feedback.locator(".facts", has_text=value).wait_for()
    given = {item.type: item.value for item in (await client.logs.get(log.id)).feedback or []}
    assert given == {"rating": "bad", "comment": "Too short", "correction": "two", "stars": 4.5, "issue": "tone"}


async def test_a_session_is_a_tree(page: Page, client: AsyncHumanloop) -> None:
    await client.log(project="words", config=CONFIG, output="root", reference_id="root", session_reference_id="s")
    for output, parent in (("child", "root"), ("sibling", "root")):
        await client.log(project="words", config=CONFIG, output=output, reference_id=output, parent_reference_id=parent)
    await client.log(project="words", config=CONFIG, output="grandchild", parent_reference_id="child")
    await client.log(project="words", config=CONFIG, output="second root", session_reference_id="s")
    [project] = [project async for project in client.projects.list()]
    await show(page, f"#/projects/{project.id}/sessions")
    await page.get_by_role("link", name="s", exact=True).click()
    await page.get_by_text("5 logs").wait_for()
    tree = await page.locator(".tree").evaluate(
        """(tree) => {
          const branch = (list) => [...(list?.children ?? [])].map((item) => [
            item.querySelector("strong").textContent, branch(item.querySelector(":scope > ul")),
          ]);
          return branch(tree.firstElementChild);
        }"""
    )
    assert tree == [["root", [["child", [["grandchild", []]]], ["sibling", []]]], ["second root", []]]
    await page.get_by_role("link", name="grandchild").click()
    await page.get_by_role("heading", name="Log", exact=True).wait_for()
    await page.get_by_role("link", name="s", exact=True).click()
    await page.get_by_role("heading", name="Session s").wait_for()


async def test_a_log_opens_in_the_playground(page: Page, client: AsyncHumanloop) -> None:
    """With its configuration, messages and inputs; running it again sends the same."""
    messages: Any = [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "Reply"},
        {"role": "user", "content": "Second"},
    ]
    config: Any = {
        "provider": "mock",
        "model": "m",
        "temperature": 0.5,
        "max_tokens": 5,
        "chat_template": [{"role": "system", "content": "Be {{mood}}."}],
    }
    made = await client.chat(project="words", messages=messages, model_config=config, inputs={"mood": "kind"})
    await show(page, f"#/logs/{made.data[0].id}")
    await page.get_by_role("link", name="Open in playground").click()
    await page.get_by_label("Your message").wait_for()
    assert await page.get_by_label("System message").input_value() == "Be {{mood}}."
    assert await page.get_by_label("{{mood}}").input_value() == "kind"
    assert await page.get_by_label("Your message").input_value() == "Second"
    await page.get_by_label("Samples").fill("1")
    await page.get_by_role("button", name="Run").click()
    await page.get_by_text("1 of 1 sample finished").wait_for()
    again, first = [log async for log in client.logs.list(project_id=str(made.project_id))]
    assert (again.messages, again.inputs, again.output) == (first.messages, first.inputs, first.output)
    assert again.config is not None
    assert first.config is not None
    assert again.config.id == first.config.id


async def test_a_running_log_ends_in_the_list(page: Page, client: AsyncHumanloop, script: MockScript) -> None:
    """The row of a log that is being generated shows its output when it has ended."""
    script.add(MockReply(text="At last", delay=3))
    call: Any = {"messages": [{"role": "user", "content": "Hello"}], "model_config": {"provider": "mock", "model": "m"}}
    project = await client.projects.create(name="words")
    await show(page, f"#/projects/{project.id}/logs")
    task = asyncio.create_task(client.chat(project="words", **call))
    await page.locator(".log-row .badge", has_text="running").wait_for()
    await page.locator(".log-row", has_text="At last").wait_for()
    await page.locator(".log-row .badge", has_text="running").wait_for(state="detached")
    await task
