"""Capabilities of the providers: one row each, for checking calls and for the table in the documentation."""

from __future__ import annotations

from msgspec import Struct

from ...types import ImageChatContent
from .base import ProviderCall, ProviderError


class Capabilities(Struct, frozen=True, kw_only=True):
    """The parameters that a provider's API has. The defaults are those of OpenAI's API.

    Attributes:
        native_samples: One request can ask for several samples. Otherwise each sample is a request.
        stop: Has stop sequences.
        temperature: Has a temperature.
        top_p: Has nucleus sampling.
        penalties: Has presence and frequency penalties.
        unlimited: Can generate without a limit (`max_tokens` -1). Otherwise the largest limit of the model is sent.
        seed: Has a seed.
        json_object: Can be restricted to JSON.
        json_schema: Can be restricted to a JSON schema.
        completions: Has a completion endpoint, with `suffix` and `logprobs`. Otherwise a prompt becomes a message.
        user: Has an identifier of the end user. It is left out elsewhere, because it does not change the response.
        effort: `reasoning_effort` can be "high", "medium" or "low".
        budget: `reasoning_effort` can be a number of tokens.
        tools: Can call tools, with streamed calls and with their results in later requests.
        tool_choice: A tool call can be required or forbidden.
        images: Messages can contain images.
        thinking: The text of the model's thinking is returned, apart from the response's text.
        usage: Token counts are returned, streamed or not.
        reasoning_tokens: The tokens of thinking are counted separately.
    """

    native_samples: bool = True
    stop: bool = True
    temperature: bool = True
    top_p: bool = True
    penalties: bool = True
    unlimited: bool = True
    seed: bool = True
    json_object: bool = True
    json_schema: bool = True
    completions: bool = True
    user: bool = True
    effort: bool = True
    budget: bool = False
    tools: bool = True
    tool_choice: bool = True
    images: bool = True
    thinking: bool = True
    usage: bool = True
    reasoning_tokens: bool = True


def check(call: ProviderCall, capabilities: Capabilities, origin: str) -> None:
    """Reject a call with a parameter that its provider lacks, unless leaving the parameter out changes nothing.

    Raises:
        ProviderError: The provider lacks a parameter (422). The message names both.
    """
    has = capabilities
    response_format = call.response_format
    effort = call.reasoning_effort
    parts = (part for message in call.messages if isinstance(message.content, list) for part in message.content)
    lacking: list[tuple[str, bool, str]] = [
        ("stop", not has.stop and bool(call.stop), "remove it"),
        ("temperature", not has.temperature and call.temperature != 1, "use 1"),
        ("top_p", not has.top_p and call.top_p != 1, "use 1"),
        ("presence_penalty", not has.penalties and call.presence_penalty != 0, "use 0"),
        ("frequency_penalty", not has.penalties and call.frequency_penalty != 0, "use 0"),
        ("seed", not has.seed and call.seed is not None, "remove it"),
        (
            'response_format "json_object"',
            response_format is not None and response_format.type == "json_object" and not has.json_object,
            'use "json_schema"' if has.json_schema else "remove it",
        ),
        (
            'response_format "json_schema"',
            response_format is not None and response_format.type == "json_schema" and not has.json_schema,
            'use "json_object"' if has.json_object else "remove it",
        ),
        ("logprobs", not has.completions and call.logprobs is not None, "remove it"),
        ("suffix", not has.completions and call.suffix is not None, "remove it"),
        (
            "a word as reasoning_effort",
            isinstance(effort, str) and not has.effort,
            "use a number of tokens" if has.budget else "remove it",
        ),
        (
            "a number as reasoning_effort",
            isinstance(effort, int) and not has.budget,
            'use "high", "medium" or "low"' if has.effort else "remove it",
        ),
        ("tools", not has.tools and bool(call.tools), "remove them"),
        ("tool_choice", not has.tool_choice and call.tool_choice not in (None, "auto"), 'use "auto"'),
        (
            "images in messages",
            not has.images and any(isinstance(part, ImageChatContent) for part in parts),
            "remove them",
        ),
    ]
    for name, is_lacking, advice in lacking:
        if is_lacking:
            raise ProviderError(422, f"{origin} does not support {name}; {advice}, or use another provider", origin)


LABELS = {
    "native_samples": "`num_samples` in one request",
    "stop": "`stop`",
    "temperature": "`temperature`",
    "top_p": "`top_p`",
    "penalties": "`presence_penalty`, `frequency_penalty`",
    "unlimited": "no limit (`max_tokens` -1)",
    "seed": "`seed`",
    "json_object": '`response_format` "json_object"',
    "json_schema": '`response_format` "json_schema"',
    "completions": "completion endpoint, with `suffix` and `logprobs`",
    "user": "`user`",
    "effort": '`reasoning_effort` "high", "medium", "low"',
    "budget": "`reasoning_effort` as a number of tokens",
    "tools": "`tools`, streamed tool calls, tool results",
    "tool_choice": "`tool_choice`",
    "images": "images in messages",
    "thinking": "thinking, apart from the text",
    "usage": "token counts",
    "reasoning_tokens": "reasoning tokens",
}
"""Titles of the capabilities in the documentation."""


def table(rows: dict[str, Capabilities]) -> str:
    """Return the Markdown table of the capabilities of some providers, by their v4 names."""
    lines = [
        f"| capability | {' | '.join(f'`{name}`' for name in rows)} | test |",
        f"| --- |{' --- |' * len(rows)} --- |",
    ]
    lines += [
        f"| {label} | {' | '.join('yes' if getattr(row, name) else '-' for row in rows.values())} | `{name}` |"
        for name, label in LABELS.items()
    ]
    return "\n".join(lines) + "\n"
