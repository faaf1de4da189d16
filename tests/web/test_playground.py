"""The playground in a browser: everything that a call can have, and what one can do with its samples."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from humanloop_async import AsyncHumanloop
from humanloop_async.server.providers.mock_script import MockReply, MockSample, MockScript, MockToolCall
from tests.web.browser import client_url, show, write

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def run(page: Page, samples: int = 1) -> None:
    """Run the call and wait until all of its samples have ended."""
    await page.keyboard.press("Control+Enter")
    await page.get_by_text(f"{samples} of {samples} sample").wait_for()


async def outputs(page: Page) -> list[str]:
    return [text.strip() for text in await page.locator(".sample .output .text").all_inner_texts()]


async def logs_of(client: AsyncHumanloop, name: str) -> list[Any]:
    """Return the logs of a project, newest first."""
    [project] = [project async for project in client.projects.list(filter=name)]
    return [log async for log in client.logs.list(project_id=project.id)]


async def test_tool_calls_are_answered_and_the_chat_continues(
    page: Page, client: AsyncHumanloop, script: MockScript
) -> None:
    calls = [MockToolCall(name="weather", arguments={"city": city}, id=f"call_{city}") for city in ("Rome", "Oslo")]
    script.add(MockReply(prompt="rainy", text="Take an umbrella."))
    script.add(MockReply(prompt="Weather?", text="Let me look.", tool_calls=calls))
    await write(page, "Weather?", project="tools")
    await page.locator("summary", has_text=re.compile("^Tools$")).click()
    tool = {"name": "weather", "description": "Look", "parameters": {"type": "object"}}
    await page.get_by_label("Tools, as a JSON list").fill(json.dumps([tool]))
    await page.get_by_label("Tool choice").select_option("required")
    await run(page)
    assert await page.locator(".sample .badge").inner_text() == "tool_call"
    assert [name.strip() for name in await page.locator(".sample .tool-call strong").all_inner_texts()] == [
        "weather"
    ] * 2
    assert '"city": "Oslo"' in await page.locator(".sample .tool-call pre").nth(1).inner_text()
    await page.get_by_role("button", name="Continue").click()
    results = page.locator(".conversation .message.tool textarea")
    assert await results.count() == 2
    assert await results.first.evaluate("(input) => input === document.activeElement")
    await results.first.fill("sunny")
    await results.nth(1).fill("rainy")
    await page.get_by_label("Tool choice").select_option("auto")
    await run(page)
    assert await outputs(page) == ["Take an umbrella."]
    newest, oldest = await logs_of(client, "tools")
    assert newest.session_id == oldest.session_id
    roles = [(message.role, message.tool_call_id, message.content) for message in newest.messages]
    assert roles == [
        ("user", None, "Weather?"),
        ("assistant", None, "Let me look."),
        ("tool", "call_Rome", "sunny"),
        ("tool", "call_Oslo", "rainy"),
    ]
    assert [call.function.name for call in newest.messages[1].tool_calls] == ["weather", "weather"]


async def test_json_mode(page: Page) -> None:
    """Any JSON, and JSON of a schema."""
    await write(page, "Hello")
    await page.get_by_text("Parameters", exact=True).click()
    await page.get_by_label("Response format").select_option("JSON object")
    await run(page)
    assert isinstance(json.loads((await outputs(page))[0]), dict)
    await page.get_by_label("Response format").select_option("JSON with a schema")
    schema = {"name": "answer", "schema": {"enum": ["yes"]}}
    await page.get_by_label("JSON schema").fill(json.dumps(schema))
    await run(page)
    assert await outputs(page) == ['"yes"']
    await page.get_by_label("JSON schema").fill("{")
    await page.keyboard.press("Control+Enter")
    await page.get_by_text("The JSON schema: not valid JSON").wait_for()


async def test_a_completion_with_a_template(page: Page, client: AsyncHumanloop) -> None:
    await page.get_by_label("Completion", exact=True).check()
    await page.get_by_label("Prompt template").fill("Greet {{name}} in {{ language }}.")
    await page.get_by_label("{{name}}").fill("Ada")
    await page.get_by_label("{{language}}").fill("{{name}}")
    await page.get_by_label("Samples").fill("1")
    await page.get_by_label("Log to project").fill("greeter")
    await run(page)
    [log] = await logs_of(client, "greeter")
    assert log.inputs == {"name": "Ada", "language": "{{name}}"}
    assert log.provider_request["prompt"] == "Greet Ada in {{name}}."


async def test_a_jinja_template(page: Page, client: AsyncHumanloop) -> None:
    """Names in statements become fields, too, but not the variables of loops; JSON becomes a value of its type."""
    await write(page, "Hello", project="jinja")
    await page.get_by_text("Parameters", exact=True).click()
    await page.get_by_label("Template language").select_option("Jinja")
    template = (
        "{% if formal %}Dear{% else %}Hi{% endif %} {% for item in names %}{{ item.first|upper }} {% endfor %}{{ end }}"
    )
    await page.get_by_label("System message").fill(template)
    assert await page.locator(".inputs label").all_inner_texts() == ["{{formal}}", "{{names}}", "{{end}}"]
    await page.get_by_label("{{formal}}").fill("false")
    await page.get_by_label("{{names}}").fill('[{"first": "Ada"}, {"first": "Alan"}]')
    await page.get_by_label("{{end}}").fill("!")
    await run(page)
    [log] = await logs_of(client, "jinja")
    assert log.messages[0].content == "Hi ADA ALAN !"


async def test_parameters_that_the_provider_lacks_are_disabled(page: Page) -> None:
    await page.get_by_label("Your message").wait_for()
    await page.get_by_text("Parameters", exact=True).click()
    assert await page.get_by_label("Seed").is_enabled()
    await page.get_by_label("Seed").fill("7")
    await page.get_by_label("Provider", exact=True).select_option("anthropic")
    assert await page.get_by_label("Seed").is_disabled()
    assert await page.get_by_label("Seed").input_value() == ""
    assert await page.get_by_label("Presence penalty").is_disabled()
    assert await page.get_by_label("Temperature").is_enabled()


async def test_any_sample_is_continued(page: Page, script: MockScript) -> None:
    texts = ("first", "second", "third")
    script.add(MockReply(times=1, samples=[MockSample(text=text) for text in texts]))
    script.add(MockReply(prompt="second", text="the second was chosen"))
    await write(page, "Hello", samples=3)
    await run(page, 3)
    await page.locator(".sample").nth(1).get_by_role("button", name="Continue").click()
    assert await page.get_by_label("Message of the assistant").input_value() == "second"
    assert await page.get_by_label("Message of the user").input_value() == "Hello"
    await page.get_by_label("Your message").fill("More")
    await run(page, 3)
    assert await outputs(page) == ["the second was chosen"] * 3
    await run(page, 3)  # again
    assert await page.locator(".sample").count() == 3
    await page.get_by_role("button", name="New conversation").click()
    assert await page.locator(".conversation .message").count() == 0
    assert await page.locator(".sample").count() == 0


async def test_figures_reasoning_and_usage(page: Page, script: MockScript) -> None:
    """Each sample shows its time to the first token, its pace, its tokens and its end."""
    script.add(MockReply(text="An answer of some words.", reasoning="Because of this.", tokens_per_second=30))
    await write(page, "Hello")
    await page.keyboard.press("Control+Enter")
    await page.locator("details.reasoning[open]", has_text="Because").wait_for()
    await page.get_by_text("1 of 1 sample finished").wait_for()
    assert await page.locator("details.reasoning .text").inner_text() == "Because of this."
    assert await outputs(page) == ["Because of this.", "An answer of some words."]
    assert await page.locator(".sample .badge").inner_text() == "stop"
    figures = " ".join((await page.locator(".sample .figures").inner_text()).split())
    assert re.fullmatch(r"first token [\d.]+ m?s pace [\d.]+ tokens/s tokens \d+", figures)
    assert re.fullmatch(
        r"Usage: \d+ prompt \+ \d+ generated tokens(, \d+ of reasoning)?", await page.locator(".usage").inner_text()
    )


async def test_a_blind_comparison_becomes_a_rating(page: Page, client: AsyncHumanloop, script: MockScript) -> None:
    """Nothing shows which configuration a group is of until one is preferred."""
    script.add(MockReply(model="left", text="from the left"), MockReply(model="right", text="from the right"))
    await page.get_by_label("Compare two configurations").check()
    await page.get_by_label("Model", exact=True).first.fill("left")
    await page.get_by_label("Model", exact=True).nth(1).fill("right")
    await write(page, "Hello", project="compared")
    await run(page, 2)
    assert sorted(await page.locator(".group h2").all_inner_texts()) == ["Config X", "Config Y"]
    assert "left" not in await page.locator(".group h2, .group h3").first.inner_text()
    chosen = page.locator(".group", has_text="from the right")
    await chosen.get_by_role("button", name="Prefer this one").click()
    await page.get_by_text("Config A 0 : 1 Config B").wait_for()
    assert await chosen.locator("h2").inner_text() == "Config B: right"
    ratings = {log.output: [item.value for item in log.feedback] for log in await logs_of(client, "compared")}
    assert ratings == {"from the left": ["bad"], "from the right": ["good"]}
    await page.get_by_label("Blind: hide which is which until you choose").uncheck()
    await run(page, 2)
    assert await page.locator(".group h2").all_inner_texts() == ["Config A", "Config B"]
    await page.get_by_role("button", name="No preference").click()
    await page.get_by_text("Config A 0 : 1 Config B").wait_for()


async def test_images_are_dropped_and_removed(page: Page, client: AsyncHumanloop) -> None:
    await write(page, "What is this?", project="images")
    drop = """(box, names) => {
      const data = new DataTransfer();
      const bytes = new Uint8Array([137, 80, 78, 71]);
      for (const name of names) data.items.add(new File([bytes], name, { type: "image/png" }));
      data.items.add(new File(["text"], "a.txt", { type: "text/plain" }));
      box.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
      box.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    await page.locator(".composer").evaluate(drop, ["a.png", "b.png"])
    await page.get_by_role("button", name="Remove image 2").click()
    assert await page.locator(".composer .thumbnail").count() == 1
    await run(page)
    [log] = await logs_of(client, "images")
    text, image = log.messages[0].content
    assert (text.text, image.image_url.url) == ("What is this?", "data:image/png;base64,iVBORw==")


async def test_a_draft_survives_a_reload(page: Page) -> None:
    """The form, the message and the inputs stay in the tab."""
    await write(page, "Unsent", samples=3, project="draft")
    await page.get_by_label("System message").fill("Be {{mood}}.")
    await page.get_by_label("{{mood}}").fill("kind")
    await page.wait_for_function("() => sessionStorage.getItem('humanloop-playground')?.includes('kind')")
    await page.reload()
    await page.get_by_label("Your message").wait_for()
    values = [
        await page.get_by_label(label).input_value()
        for label in ("Your message", "System message", "{{mood}}", "Samples", "Log to project")
    ]
    assert values == ["Unsent", "Be {{mood}}.", "kind", "3", "draft"]


async def test_the_call_as_code(page: Page, client: AsyncHumanloop) -> None:
    """The shown program makes the same call."""
    await write(page, 'Say "hi"', project="code")
    await page.get_by_role("button", name="Show as code").click()
    code = await page.get_by_role("dialog").locator("code").inner_text()
    assert client_url(page) in code
    program = compile(code, "code", "exec")
    assert "client.chat_stream" in code
    assert program.co_names[:2] == ("humanloop_async", "Humanloop")
    assert repr({"role": "user", "content": 'Say "hi"'}).replace("'", '"').replace('Say "hi"', 'Say \\"hi\\"') in code


async def test_a_saved_config_is_deployed(page: Page, client: AsyncHumanloop) -> None:
    """From the playground to a deployed call."""
    await write(page, "Hello")
    await page.get_by_label("System message").fill("Be brief.")
    await page.get_by_role("button", name="Save as a config…").click()
    await page.get_by_label("Project", exact=True).fill("saved")
    await page.get_by_label("Name", exact=True).fill("brief")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_role("button", name="Deploy", exact=True).click()
    await page.get_by_text("Deployed brief").wait_for()
    await client.chat_deployed(project="saved", messages=[{"role": "user", "content": "Hello"}])
    [log] = await logs_of(client, "saved")
    assert log.messages[0].content == "Be brief."
    await show(page, "#/projects?search=sav")
    row = page.get_by_role("row", name="saved")
    await row.get_by_text("brief").wait_for()


async def test_a_rejected_call_shows_its_reason(page: Page) -> None:
    """The server's message, in each sample."""
    await write(page, "Hello", samples=2, other='{"fail_after": 0, "status": 429}')
    await page.keyboard.press("Control+Enter")
    await page.locator(".sample .problem").nth(1).wait_for()
    assert await page.locator(".sample .badge").all_inner_texts() == ["broken", "broken"]
    await page.get_by_text("0 of 2 samples finished").wait_for()
