"""Templates in v4's default language."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from humanloop_async.server.templates.template import (
    TemplateError,
    called_tools,
    chat_texts,
    fill,
    fill_with_tools,
    read_snippets,
    with_chat_texts,
)
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


TOOLS = {"office-hours": {"monday": "9 to 5", "{{a}}": "braces", "1": "one"}, "motto": {"long": "Onwards."}}


@pytest.mark.parametrize(
    ("template", "expected", "signature", "result"),
    [
        ("Open {{office-hours(day)}}.", "Open 9 to 5.", "office-hours(day)", "9 to 5"),
        ('{{ office-hours( "monday" ) }}', "9 to 5", 'office-hours("monday")', "9 to 5"),
        ("{{office-hours(n)}}", "one", "office-hours(n)", "one"),
        ("{{office-hours(braces)}}", "braces", "office-hours(braces)", "braces"),
    ],
)
def test_a_tool_call_is_replaced_by_the_text_of_its_key(
    template: str, expected: str, signature: str, result: str
) -> None:
    inputs: dict[str, Any] = {"day": "monday", "n": 1, "braces": "{{a}}"}
    texts, [call] = fill_with_tools(["", template], inputs, 1000, TOOLS)
    assert texts == ["", expected]
    assert (call.id, call.name, call.signature, call.result) == (
        "tool_office-hours", "office-hours", signature, result
    )  # fmt: skip


def test_each_different_call_has_one_result() -> None:
    template = '{{motto("long")}} {{office-hours(day)}} {{day}} {{motto("long")}}'
    texts, results = fill_with_tools([template, template], {"day": "monday"}, 1000, TOOLS)
    assert texts == ["Onwards. 9 to 5 monday Onwards."] * 2
    assert [result.signature for result in results] == ['motto("long")', "office-hours(day)"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{search(day)}}", r"calls the tool 'search', .*its tools: motto, office-hours; .*serve --tools"),
        ('{{a}} {{search("x")}}', "calls the tool 'search'"),
        ('{{motto("short")}}', r"the tool 'motto' has no text for 'short'; its keys: long$"),
        ("{{motto(day)}}", "has no text for 'sunday'"),
        ("{{motto(other)}} {{b}}", r"^Missing input variables: b, other$"),
    ],
)
def test_an_unknown_tool_or_key_is_an_error_and_not_sent_as_text(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        fill_with_tools(["", template], {"a": "A", "day": "sunday"}, 1000, TOOLS)


def test_the_texts_of_tools_count_for_the_length() -> None:
    tools = {"t": {"k": "x" * 100}}
    assert fill_with_tools(['{{t("k")}}' * 10], {}, 1000, tools)[0] == ["x" * 1000]
    with pytest.raises(TemplateError, match="1000 characters"):
        fill_with_tools(['{{t("k")}}' * 11], {}, 1000, tools)


def test_called_tools_are_found_without_inputs() -> None:
    assert called_tools(['{{a}} {{x(a)}} {{y("b")}}', "{{x(c)}} {{z}}", ""]) == {"x", "y"}


def test_tools_are_read_from_json_and_toml(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"office-hours": {"monday": "9 to 5"}}')
    (tmp_path / "a.toml").write_text('[office-hours]\nmonday = "9 to 5"\n')
    for name in ("a.json", "a.toml"):
        assert read_snippets(tmp_path / name) == {"office-hours": {"monday": "9 to 5"}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.json", None, "No such file"),
        ("a.json", b"{", "Input data was truncated"),
        ("a.toml", b"[", "a.toml"),
        ("a.json", b'{"a": {"b": 1}}', r"Expected `str`, got `int` - at `\$\[...\]\[...\]`"),
        ("a.json", b'{"a b": {}}', "the tool name 'a b'"),
        ("a.json", b'{"": {}}', "the tool name ''"),
    ],
)
def test_an_unusable_file_of_tools_is_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_snippets(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


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
