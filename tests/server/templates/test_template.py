"""Inputs into templates, in both template languages."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from humanloop_async.server.templates.jinja import JinjaRenderer
from humanloop_async.server.templates.template import TemplateError, chat_texts, fill, with_chat_texts
from humanloop_async.types import ChatMessage, ImageChatContent, ImageUrl, TextChatContent
from tests.server.served import COMPLETION, Api, with_config


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("no variables", "no variables"),
        ("{{a}}{{ a }}{{\ta\n}}", "AAA"),
        ("{{a}} and {{b}}", "A and {{a}}"),  # a value is never expanded again
        (
            "{a} {{ a b }} {{a.b}} {{}} {{ }} {{f()}} {{f(a, b)}} {{f(a.b)}} {% x %}",
            "{a} {{ a b }} {{a.b}} {{}} {{ }} {{f()}} {{f(a, b)}} {{f(a.b)}} {% x %}",
        ),
        ("{{{a}}}", "{A}"),
        ("{{{{a}}}}", "{{A}}"),
        ("{{n}} {{f}} {{t}} {{z}} {{l}} {{o}}", '1 0.5 true  [1,"é"] {"k":null}'),
    ],
)
def test_names_are_replaced_and_nothing_else(template: str, expected: str) -> None:
    inputs: dict[str, Any] = {
        "a": "A", "b": "{{a}}", "n": 1, "f": 0.5, "t": True, "z": None, "l": [1, "é"], "o": {"k": None}, "unused": 1,
    }  # fmt: skip
    assert fill([template], inputs, 1000) == [expected]


@pytest.mark.parametrize("call", ["{{tool-1(a)}}", '{{ tool-1( "a literal" ) }}', "{{a}} {{tool-1(missing)}}"])
def test_a_tool_in_a_template_is_refused_and_not_sent_as_text(call: str) -> None:
    with pytest.raises(TemplateError, match="calls the tool 'tool-1'"):
        fill(["", call], {"a": "A"}, 1000)


def test_all_missing_inputs_of_all_templates_are_named_in_order() -> None:
    with pytest.raises(TemplateError, match=r"^Missing input variables: a, b, z$"):
        fill(["{{z}} {{a}} {{x}}", "{{b}} {{a}}"], {"x": 1}, 1000)


def test_a_template_cannot_grow_beyond_the_limit_nor_take_the_memory_first() -> None:
    assert fill(["{{a}}" * 10], {"a": "x" * 100}, 1000) == ["x" * 1000]
    with pytest.raises(TemplateError, match="1000 characters"):
        fill(["{{a}}" * 10, "y"], {"a": "x" * 100}, 1000)
    with pytest.raises(TemplateError):
        fill(["{{a}}" * 50_000], {"a": "x" * 10_000_000}, 1000)  # 500 GB


def test_hostile_braces_take_linear_time() -> None:
    start = time.perf_counter()
    fill(["{{" * 100_000, "{{ " * 60_000, "{{" + " " * 200_000, "{{a" * 80_000, '{{a("' * 80_000], {}, 10_000_000)
    assert time.perf_counter() - start < 2


def test_texts_and_image_addresses_of_a_chat_template_are_filled() -> None:
    messages = [
        ChatMessage(role="system", content="{{a}}", name="{{a}}"),
        ChatMessage(
            role="user",
            content=[
                TextChatContent(text="see {{a}}"),
                ImageChatContent(image_url=ImageUrl(url="http://x/{{a}}", detail="low")),
            ],
        ),
        ChatMessage(role="assistant"),
    ]
    filled = with_chat_texts(messages, fill(chat_texts(messages), {"a": "A"}, 100))
    assert filled == [
        ChatMessage(role="system", content="A", name="{{a}}"),
        ChatMessage(
            role="user",
            content=[
                TextChatContent(text="see A"),
                ImageChatContent(image_url=ImageUrl(url="http://x/A", detail="low")),
            ],
        ),
        ChatMessage(role="assistant"),
    ]


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
async def test_jinja_refuses_and_stays_usable(jinja: JinjaRenderer, template: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        await jinja.render([template], {"x": []}, 1000)
    assert await jinja.render(["{{ 1 + 1 }}"], {}, 1000) == ["2"]


async def test_jinja_sees_no_keys_of_the_server(jinja: JinjaRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert await jinja.render(["x"], {}, 10) == ["x"]
    assert jinja._process is not None
    with open(f"/proc/{jinja._process.pid}/environ") as file:  # noqa: ASYNC230 - not a disk
        assert "sk-secret" not in file.read()


async def test_jinja_is_chosen_by_the_config(api: Api) -> None:
    template = "{% if name is defined and name %}Greet {{ name }}{% endif %}"
    call = with_config(COMPLETION, prompt_template=template, template_language="jinja")
    status, body = await api.post("/completion", call)
    assert status == 200
    assert body["provider_request"]["prompt"] == "Greet Ada"
    status, body = await api.post("/completion", with_config(call, prompt_template="{{ who }} {% bad %}"))
    assert status == 422
    assert "cannot be rendered" in body["detail"]["message"]
