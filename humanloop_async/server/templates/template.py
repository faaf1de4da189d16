"""Fill inputs into prompt templates and chat templates: ``{{ name }}`` in v4's default language.

It replaces names and calls of snippet tools, in one pass, so that a value is never expanded again. All other braces
stay as they are, and so does a name with dots that has no input: only evaluators have such inputs, as ``log.output``.
`.jinja` renders Jinja templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from ...types import ChatMessage, ImageChatContent, ImageUrl, Json, TextChatContent, ToolResultResponse

# A name, or a call of a tool with the name of an input or a literal text as its argument.
_EXPRESSION = re.compile(
    r"""(\{\{\s*(?:([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)|([A-Za-z0-9_-]+)\(\s*(?:([A-Za-z0-9_]+)|"([^"{}]*)")\s*\))\s*\}\})"""
)

_TOOL_NAME = re.compile("[A-Za-z0-9_-]+")

Snippets: TypeAlias = Mapping[str, Mapping[str, str]]
"""The texts of each snippet tool by key, by the tool's name."""


class TemplateError(ValueError):
    """A template cannot be filled in; the message gives the reason."""


def missing_inputs(names: Iterable[str]) -> TemplateError:
    """Return the error for variables that have no input."""
    return TemplateError(f"Missing input variables: {', '.join(sorted(set(names)))}")


def fill(templates: Sequence[str], inputs: Mapping[str, Json], max_chars: int) -> list[str]:
    """Return the templates with their variables replaced, as `fill_with_tools` without any tool does."""
    return fill_with_tools(templates, inputs, max_chars, {})[0]


def called_tools(templates: Iterable[str]) -> set[str]:
    """Return the names of the tools that the templates call."""
    return {name for template in templates for name in _EXPRESSION.split(template)[3::6] if name}


def fill_with_tools(
    templates: Sequence[str], inputs: Mapping[str, Json], max_chars: int, tools: Snippets
) -> tuple[list[str], list[ToolResultResponse]]:
    """Return the templates with their variables and tool calls replaced, and the result of each tool call.

    Inputs that no template names are ignored. An input that only a tool call names is needed, too. Equal calls have one
    result.

    Args:
        templates: The templates.
        inputs: Values by name.
        max_chars: Most characters of the filled templates, in total.
        tools: The snippet tools that the templates may call.

    Raises:
        TemplateError: Inputs are missing, a tool or its text does not exist, or the result would be too long.
    """
    # `split` with five groups yields text, expression, name, tool, argument, literal, text, ..., text.
    split = [_EXPRESSION.split(template) for template in templates]
    names = {name for pieces in split for group in (pieces[2::6], pieces[4::6]) for name in group if name}
    if missing := {name for name in names - inputs.keys() if "." not in name}:
        raise missing_inputs(missing)
    values = {name: as_text(inputs[name]) for name in names if name in inputs}
    results: dict[str, ToolResultResponse] = {}
    for pieces in split:
        texts: list[str] = pieces[::6]
        replaced: list[str] = []
        for whole, name, tool, argument, literal in zip(*(pieces[group::6] for group in range(1, 6)), strict=True):
            if name is not None:
                replaced.append(values.get(name, str(whole)))
                continue
            signature = f"{tool}({argument})" if argument is not None else f'{tool}("{literal}")'
            if signature not in results:
                key = values[argument] if argument is not None else literal
                result = _snippet(tools, tool, key)
                results[signature] = ToolResultResponse(
                    id=f"tool_{tool}", name=tool, signature=signature, result=result
                )
            replaced.append(results[signature].result)
        pieces[:] = [piece for pair in zip(texts, replaced, strict=False) for piece in pair] + texts[-1:]
    # Before joining: a long value under a name used often could otherwise fill the memory.
    check_length(sum(len(piece) for pieces in split for piece in pieces), max_chars)
    return ["".join(pieces) for pieces in split], [*results.values()]


def _snippet(tools: Snippets, name: str, key: str) -> str:
    texts = tools.get(name)
    if texts is None:
        known = ", ".join(sorted(tools)) or "none"
        raise TemplateError(
            f"the template calls the tool {name!r:.80}, which this server does not have; its tools: {known:.200}; "
            "define it in the file of `serve --tools`, or import it"
        )
    if key not in texts:
        raise TemplateError(
            f"the tool {name!r:.80} has no text for {key!r:.80}; its keys: {', '.join(sorted(texts)):.200}"
        )
    return texts[key]


def read_snippets(path: Path) -> Snippets:
    """Read snippet tools from a JSON file, or from a TOML file if its name ends so: ``{tool: {key: text}}``.

    Raises:
        ValueError: The file cannot be read, or its content is of another shape; the message names the file.
    """
    decode = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
    try:
        snippets = decode(path.read_bytes(), type=dict[str, dict[str, str]])
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise ValueError(f"cannot read the tools in {path}: {reason}") from exc
    for name in snippets:
        if not _TOOL_NAME.fullmatch(name):
            raise ValueError(f"{path}: the tool name {name!r:.80} has characters other than letters, digits, _ and -")
    return snippets


def variables(template: str) -> set[str]:
    """Return the names of the inputs that a template has."""
    pieces = _EXPRESSION.split(template)
    return {name for group in (pieces[2::6], pieces[4::6]) for name in group if name}


def check_length(chars: int, max_chars: int) -> None:
    """Raise a `TemplateError` if a result is too long."""
    if chars > max_chars:
        raise TemplateError(f"the filled template has more than {max_chars} characters")


def as_text(value: Json) -> str:
    """Return a value as text for a prompt: a text as it is, null as "", other values as compact JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def chat_texts(messages: Iterable[ChatMessage]) -> list[str]:
    """Return the texts and image URLs of a chat template, in order; `with_chat_texts` puts them back."""
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    for message in messages:
        _map_message(message, note)
    return texts


def with_chat_texts(messages: Iterable[ChatMessage], texts: Iterable[str]) -> list[ChatMessage]:
    """Return the same messages with other texts and image URLs."""
    following = iter(texts)
    return [_map_message(message, lambda _: next(following)) for message in messages]


def _map_message(message: ChatMessage, change: Callable[[str], str]) -> ChatMessage:
    content = message.content
    if isinstance(content, str):
        return msgspec.structs.replace(message, content=change(content))
    if isinstance(content, list):
        return msgspec.structs.replace(message, content=[_map_part(part, change) for part in content])
    return message


def _map_part(
    part: TextChatContent | ImageChatContent, change: Callable[[str], str]
) -> TextChatContent | ImageChatContent:
    if isinstance(part, TextChatContent):
        return TextChatContent(text=change(part.text))
    return ImageChatContent(image_url=ImageUrl(url=change(part.image_url.url), detail=part.image_url.detail))
