"""Jinja templates, rendered in separate processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from humanloop_async.server.templates.jinja import WORKERS, Busy, JinjaRenderer
from humanloop_async.server.templates.template import TemplateError
from tests.server.served import COMPLETION, Api, with_config


@pytest.fixture
async def jinja() -> AsyncGenerator[JinjaRenderer]:
    renderer = JinjaRenderer(max_seconds=1)
    yield renderer
    await renderer.aclose()
    await renderer.aclose()


async def test_jinja_renders_and_keeps_its_process(jinja: JinjaRenderer) -> None:
    loop = "{% for name in names %}{{ loop.index }}. {{ name|upper }}\n{% endfor %}"
    assert await jinja.render([loop, "{{ x }}\n"], {"names": ["é", "b"], "x": 1}, 1000) == ["1. É\n2. B\n", "1\n"]
    start = time.perf_counter()
    for _ in range(20):
        await jinja.render(["{{ x }}"], {"x": 1}, 1000)
    assert time.perf_counter() - start < 2  # starting a process takes longer than that


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ b }} {{ a }}", "^Missing input variables: a, b$"),
        ("{% if true %}{{ a }}{% endif %}", "^Missing input variables: a$"),
        ("{{ x.nothing }}", "has no attribute 'nothing'"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{% include 'x' %}", "cannot be rendered"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ x + 1 }}", "TypeError"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ x.append(1) }}", "cannot be rendered"),
        ("{{ 'x' * 2000 }}", "1000 characters"),
        ("{{ 'x' * 10**10 }}", "too much memory"),
        ("{{ 'x'|center(10**10) }}", "too much memory"),
        (
            "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "too much memory|more than 1 seconds",  # whichever comes first on this machine
        ),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 1 seconds"),
        ("{{ 10**(10**10) }}", "more than 1 seconds"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ range(10**9) }}", "OverflowError"),
    ],
)
async def test_jinja_reports_errors_and_stays_usable(jinja: JinjaRenderer, template: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        await jinja.render([template], {"x": []}, 1000)
    assert await jinja.render(["{{ 1 + 1 }}"], {}, 1000) == ["2"]


async def test_jinja_sees_no_keys_of_the_server(jinja: JinjaRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert await jinja.render(["x"], {}, 10) == ["x"]
    process = jinja._idle[-1]._process._process
    assert process is not None
    with open(f"/proc/{process.pid}/environ") as file:  # noqa: ASYNC230 - not a disk
        assert "sk-secret" not in file.read()


async def test_the_config_chooses_jinja(api: Api) -> None:
    template = "{% if name is defined and name %}Greet {{ name }}{% endif %}"
    call = with_config(COMPLETION, prompt_template=template, template_language="jinja")
    status, body = await api.post("/completion", call)
    assert status == 200
    assert body["provider_request"]["prompt"] == "Greet Ada"
    status, body = await api.post("/completion", with_config(call, prompt_template="{{ who }} {% bad %}"))
    assert status == 422
    assert "cannot be rendered" in body["detail"]["message"]


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


async def test_endless_templates_of_one_caller_do_not_delay_the_others() -> None:
    renderer = JinjaRenderer(max_seconds=30, max_wait=60)
    endless = [asyncio.create_task(renderer.render([ENDLESS], {}, 100, "hostile")) for _ in range(6)]
    try:
        await renderer.render(["{{ a }}"], {"a": "x"}, 100, "other")  # starts a process
        begun = time.monotonic()
        assert await renderer.render(["{{ a }}"], {"a": "x"}, 100, "other") == ["x"]
        assert time.monotonic() - begun < 2
        assert not any(task.done() for task in endless)
    finally:
        for task in endless:
            task.cancel()
        await asyncio.wait(endless)
        await renderer.aclose()


async def test_the_wait_for_a_process_is_bounded() -> None:
    renderer = JinjaRenderer(max_seconds=30, max_wait=0.3)
    endless = [asyncio.create_task(renderer.render([ENDLESS], {}, 100, "hostile")) for _ in range(WORKERS // 2)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(Busy):
            await renderer.render(["x"], {}, 100, "hostile")
    finally:
        for task in endless:
            task.cancel()
        await asyncio.wait(endless)
        await renderer.aclose()
