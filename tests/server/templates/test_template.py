"""Templates in v4's default language."""

from __future__ import annotations

import time
from typing import Any

import pytest

from humanloop_async.server.templates.template import TemplateError, chat_texts, fill, with_chat_texts
from humanloop_async.types import ChatMessage, ImageChatContent, ImageUrl, TextChatContent


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
def test_a_tool_in_a_template_is_an_error_and_not_sent_as_text(call: str) -> None:
    with pytest.raises(TemplateError, match="calls the tool 'tool-1'"):
        fill(["", call], {"a": "A"}, 1000)


def test_all_missing_inputs_of_all_templates_are_named_in_order() -> None:
    with pytest.raises(TemplateError, match=r"^Missing input variables: a, b, z$"):
        fill(["{{z}} {{a}} {{x}}", "{{b}} {{a}}"], {"x": 1}, 1000)


def test_a_long_result_is_rejected_before_it_takes_memory() -> None:
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
