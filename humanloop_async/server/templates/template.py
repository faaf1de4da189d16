"""Fill inputs into prompt templates and chat templates: ``{{ name }}`` in v4's default language.

It replaces only names, in one pass, so that a value is never expanded again. Braces around anything but a name or a
tool call stay as they are. `.jinja` renders Jinja templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ...types import ChatMessage, ImageChatContent, ImageUrl, Json, TextChatContent

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
# v4's other use of braces: a call of a tool, with the name of an input or a literal text as its argument.
_TOOL = re.compile(r"""\{\{\s*([A-Za-z0-9_-]+)\(\s*(?:[A-Za-z0-9_]+|"[^"{}]*")\s*\)\s*\}\}""")


class TemplateError(ValueError):
    """A template cannot be filled in; the message gives the reason."""


def missing_inputs(names: Iterable[str]) -> TemplateError:
    """Return the error for variables that have no input."""
    return TemplateError(f"Missing input variables: {', '.join(sorted(set(names)))}")


def fill(templates: Sequence[str], inputs: Mapping[str, Json], max_chars: int) -> list[str]:
    """Return the templates with their variables replaced, with at most `max_chars` characters in total.

    Inputs that no template names are ignored. A tool call is an error: this server has no tools for templates, and the
    model must not get the call as text.

    Raises:
        TemplateError: Inputs are missing, a tool is called, or the result would be too long.
    """
    for template in templates:
        if tool := _TOOL.search(template):
            raise TemplateError(
                f"the template calls the tool {tool[1]!r:.80}; this server does not support tools in templates"
            )
    # `split` with a group yields text, name, text, name, ..., text.
    split = [_VARIABLE.split(template) for template in templates]
    names = {name for pieces in split for name in pieces[1::2]}
    if missing := names - inputs.keys():
        raise missing_inputs(missing)
    values = {name: as_text(inputs[name]) for name in names}
    for pieces in split:
        pieces[1::2] = [values[name] for name in pieces[1::2]]
    # Before joining: a long value under a name used often could otherwise fill the memory.
    check_length(sum(len(piece) for pieces in split for piece in pieces), max_chars)
    return ["".join(pieces) for pieces in split]


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
