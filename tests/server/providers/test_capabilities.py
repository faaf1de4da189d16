"""Rows of capabilities: the checks of calls, and the table in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from humanloop_async.server.providers.base import ProviderError
from humanloop_async.server.providers.capabilities import LABELS, Capabilities, check, table
from humanloop_async.server.providers.registry import Providers, capability_rows
from humanloop_async.types import (
    ChatMessage,
    ImageChatContent,
    ImageUrl,
    ModelConfigTool,
    ResponseFormat,
    ToolChoice,
)
from humanloop_async.types.shared import FunctionToolChoice
from tests.server.providers.transcripts import call

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"
VENDORS = ("openai", "openai_azure", "anthropic", "cohere", "ai21")
NOTHING = Capabilities(**dict.fromkeys(Capabilities.__struct_fields__, False))


def test_the_documentation_has_the_rows() -> None:
    """If this fails, paste the tables that it prints into the page."""
    rows = capability_rows()
    vendors = {name: rows.pop(name) for name in VENDORS}
    for marker, printed in (("vendors", table(vendors)), ("presets", table(rows))):
        print(printed)
        found = re.search(rf"<!-- table: {marker} -->\n(.*?)\n<!-- end -->", PAGE.read_text(), re.DOTALL)
        assert found is not None
        assert found[1] == printed.rstrip()


def test_every_capability_has_a_label_and_every_provider_a_row() -> None:
    assert tuple(LABELS) == Capabilities.__struct_fields__
    assert {*capability_rows(), "mock", "local"} == set(Providers().names)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"stop": ["x"]}, "stop"),
        ({"temperature": 0}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"seed": 0}, "seed"),
        ({"response_format": ResponseFormat(type="json_object")}, "json_object"),
        ({"response_format": ResponseFormat(type="json_schema")}, "json_schema"),
        ({"logprobs": 0}, "logprobs"),
        ({"suffix": ""}, "suffix"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"reasoning_effort": 1024}, "reasoning_effort"),
        ({"tools": [ModelConfigTool(name="now")]}, "tools"),
        ({"tool_choice": "none"}, "tool_choice"),
        ({"tool_choice": ToolChoice(function=FunctionToolChoice(name="now"))}, "tool_choice"),
        (
            {
                "messages": [
                    ChatMessage(role="user", content=[ImageChatContent(image_url=ImageUrl(url="https://x.example"))])
                ]
            },
            "images",
        ),
    ],
)
def test_a_parameter_that_a_provider_lacks_is_named(fields: Any, name: str) -> None:
    check(call(**fields), Capabilities(budget=True), "Everything")
    with pytest.raises(ProviderError, match=f"Nothing does not support .*{name}") as caught:
        check(call(**fields), NOTHING, "Nothing")
    assert (caught.value.status, caught.value.origin) == (422, "Nothing")


def test_a_parameter_whose_absence_changes_nothing_passes() -> None:
    check(call(user="u", num_samples=3, tool_choice="auto", temperature=1, max_tokens=None), NOTHING, "Nothing")
