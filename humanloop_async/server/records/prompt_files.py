"""``.prompt`` files: a model configuration as text, for people and version control.

A file has a YAML header between lines of ``---`` with the parameters, and a body: the prompt of a completion, or the
messages of a chat template, each between tags such as ``<system>`` and ``</system>``. The lines between tags are
indented by two spaces::

    ---
    model: gpt-4o
    endpoint: chat
    ---
    <system>
      Be {{ mood }}.
    </system>

A template that tags cannot express exactly, such as one with a message that itself looks like tags, is written to the
header instead. So reading a file that `write_prompt_file` wrote gives an equal configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec
import yaml
from msgspec import Struct

from ...types import (
    ChatMessage,
    FunctionTool,
    ImageChatContent,
    ImageUrl,
    Json,
    ModelConfigRequest,
    TextChatContent,
    ToolCall,
)
from ...wire.requests import drop_nulls
from ..storage.model_config import ModelConfig

_FIRST = (
    "model",
    "temperature",
    "max_tokens",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "provider",
    "endpoint",
)
"""The parameters that come first, in this order."""

_OPTIONAL = ("presence_penalty", "frequency_penalty")
"""Those among `_FIRST` that are left out if they have their default; so are all others."""

_BODIES = {"chat": "chat_template", "complete": "prompt_template"}
"""The parameter that a file's body holds, by endpoint."""

_HEADER = re.compile(r"---\n(.*?)^---(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_ATTRIBUTES = r"((?: \w+=\"[^\"\n]*\")*)"
_BLOCK = re.compile(rf"^<(\w+){_ATTRIBUTES}>(?:\n(.*?)^|([^\n]+))</\1>[ \t]*\n?", re.DOTALL | re.MULTILINE)
_IMAGE = re.compile(rf"<(image){_ATTRIBUTES} ?/>[ \t]*\n?")
_SPACE = re.compile(r"\s*")


class PromptFileError(ValueError):
    """The text is not a ``.prompt`` file; the message gives the reason."""


class PromptFile(Struct, frozen=True):
    """The contents of a file."""

    config: ModelConfig
    name: str | None = None
    description: str | None = None


def write_prompt_file(file: PromptFile) -> str:
    """Return the text of a file."""
    config = file.config
    defaults = _parameters(ModelConfig(model="", endpoint=config.endpoint))
    parameters = _parameters(config)
    always = set(_FIRST) - set(_OPTIONAL)
    header = {
        name: parameters[name]
        for name in dict.fromkeys((*_FIRST, *parameters))
        if name in always or parameters.get(name) != defaults.get(name)
    }
    header |= drop_nulls({"name": file.name, "description": file.description})
    body = ""
    if (field := _BODIES.get(config.endpoint)) is not None and field in header:
        body = (
            config.prompt_template or "" if field == "prompt_template" else _write_messages(config.chat_template or [])
        )
        if _reads_back(body, field, config):
            del header[field]
        else:
            body = ""
    return f"---\n{_dump(header)}---\n{body}{body and chr(10)}"


def read_prompt_file(text: str) -> PromptFile:
    """Read a ``.prompt`` file, or JSON with the fields of a configuration.

    Raises:
        PromptFileError: The text is neither.
    """
    try:
        if text.lstrip().startswith("{"):
            return _from_fields(msgspec.json.decode(text))
        return _from_fields(_read(text.replace("\r\n", "\n") if text.startswith("---\r\n") else text))
    except msgspec.ValidationError as exc:
        raise PromptFileError(str(exc)) from exc
    except msgspec.DecodeError as exc:
        raise PromptFileError(f"the text is not JSON: {exc}") from exc
    except RecursionError as exc:
        raise PromptFileError("the text is nested too deeply") from exc


def _read(text: str) -> dict[str, Json]:
    if (match := _HEADER.match(text)) is None:
        raise PromptFileError("the text does not start with a header between two lines of ---")
    try:
        header: Json = yaml.load(match[1], _Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as exc:  # PyYAML raises all of them
        raise PromptFileError(f"the header is not valid YAML: {exc}") from exc
    if not isinstance(header, dict):
        raise PromptFileError("the header is not a YAML mapping of names to values")
    body = text[match.end() :].removesuffix("\n")
    if "endpoint" not in header:
        header["endpoint"] = "chat" if _BLOCK.match(body.lstrip()) else "complete"
    field = _BODIES.get(str(header["endpoint"]))
    if field is not None and _has_text(body, field):
        if field in header:
            raise PromptFileError(f"the file has `{field}` in its header, and a body; remove one of them")
        header[field] = cast("Json", msgspec.to_builtins(_read_body(body, field)))
    elif body.strip():
        raise PromptFileError(f"the endpoint {header['endpoint']!r:.80} has no template, but the file has a body")
    return header


def _reads_back(body: str, field: str, config: ModelConfig) -> bool:
    try:
        return _has_text(body, field) and _read_body(body, field) == getattr(config, field)
    except PromptFileError:
        return False


def _has_text(body: str, field: str | None) -> bool:
    return bool(body if field == "prompt_template" else body.strip())


def _from_fields(fields: Json) -> PromptFile:
    if not isinstance(fields, dict):
        raise PromptFileError("the text is not a JSON object")
    fields = drop_nulls(fields)
    fields.setdefault("type", "model")
    request = msgspec.convert(fields, ModelConfigRequest)
    return PromptFile(ModelConfig.from_request(request), request.name, request.description)


def _parameters(config: ModelConfig) -> dict[str, Json]:
    """Return the parameters without nulls, also inside lists of objects."""
    fields = drop_nulls(cast("dict[str, Json]", msgspec.to_builtins(config)))
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        fields[name] = float(getattr(config, name))  # equal configurations have the same text
    for name in ("chat_template", "tools"):
        if isinstance(items := fields.get(name), list):
            fields[name] = [drop_nulls(cast("Mapping[str, Json]", item)) for item in items]
    return fields


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """Reads what JSON can express. Dates stay texts, and aliases, which can multiply a text, are errors."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _dump(header: Mapping[str, Json]) -> str:
    text = _dumped(header, allow_unicode=True)
    if yaml.load(text, _Loader) == header:
        return text
    return _dumped(header, allow_unicode=False)  # PyYAML does not escape unusual line breaks, such as U+0085


def _dumped(header: Mapping[str, Json], *, allow_unicode: bool) -> str:
    text: str = yaml.dump(  # pyright: ignore[reportUnknownMemberType]  # `width` has no type
        dict(header), Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=100
    )
    return text


# The body: messages between tags


def _write_messages(messages: list[ChatMessage]) -> str:
    return "\n\n".join(_write_message(message) for message in messages)


def _write_message(message: ChatMessage) -> str:
    if message.role == "tool":
        content = message.content if isinstance(message.content, str) else None
        return _block("tool", {"name": message.name, "id": message.tool_call_id}, content)
    parts: list[str] = []
    match message.content:
        case str() as text:
            parts.append(text)
        case list() as items:
            parts += map(_write_part, items)
        case None:
            pass
    for call in message.tool_calls or ():
        parts.append(_block("tool", {"name": call.function.name, "id": call.id}, call.function.arguments))
    return _block(message.role, {"name": message.name}, "\n".join(parts) if parts else None)


def _write_part(part: TextChatContent | ImageChatContent) -> str:
    if isinstance(part, TextChatContent):
        return _block("text", {}, part.text)
    return f"<image{_attributes({'url': part.image_url.url, 'detail': part.image_url.detail})} />"


def _block(tag: str, attributes: Mapping[str, str | None], text: str | None) -> str:
    lines = [] if text is None else [f"  {line}\n" if line else "\n" for line in text.split("\n")]
    return f"<{tag}{_attributes(attributes)}>\n{''.join(lines)}</{tag}>"


def _attributes(attributes: Mapping[str, str | None]) -> str:
    return "".join(f' {name}="{value}"' for name, value in attributes.items() if value is not None)


def _read_body(body: str, field: str) -> str | list[ChatMessage] | None:
    """Return the template in a body. Raises a `PromptFileError` if it is not one."""
    if field == "prompt_template":
        return body or None
    try:
        return [_read_message(*block) for block in _blocks(body)]
    except msgspec.ValidationError as exc:
        raise PromptFileError(str(exc)) from exc


def _blocks(text: str) -> Iterator[tuple[str, dict[str, str], str | None]]:
    """Yield the tag, attributes and inner text of each block."""
    position = _end(_SPACE, text, 0)
    while position < len(text):
        match = _BLOCK.match(text, position) or _IMAGE.match(text, position)
        if match is None:
            excerpt = text[position : position + 40].partition("\n")[0]
            raise PromptFileError(f"found {excerpt!r} in place of a tag, or a tag that is not closed")
        tag, attributes = match[1], dict(re.findall(r' (\w+)="([^"\n]*)"', match[2]))
        inner = None if match.re is _IMAGE else match[4] if match[4] is not None else _unindented(match[3])
        yield tag, attributes, inner
        position = _end(_SPACE, text, match.end())


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _unindented(lines: str) -> str | None:
    if not lines:
        return None
    inner = lines[:-1].split("\n")
    if all(not line or line.startswith("  ") for line in inner):
        inner = [line[2:] for line in inner]
    return "\n".join(inner)


def _read_message(tag: str, attributes: dict[str, str], inner: str | None) -> ChatMessage:
    if tag == "tool":
        _check(tag, attributes, "name", "id")
        return ChatMessage(role="tool", content=inner, name=attributes.get("name"), tool_call_id=attributes.get("id"))
    _check(tag, attributes, "name")
    content: Any = inner
    calls: list[ToolCall] | None = None
    if tag == "assistant" and inner is not None and (start := re.search("^<tool ", inner, re.MULTILINE)):
        content = inner[: start.start()].removesuffix("\n") if start.start() else None
        calls = [_read_call(*block) for block in _blocks(inner[start.start() :])]
    elif tag == "user" and inner is not None and re.match("<text>|<image ", inner):
        content = [_read_part(*block) for block in _blocks(inner)]
    fields = {"role": tag, "name": attributes.get("name")}
    message = msgspec.convert(fields, ChatMessage)
    message.content, message.tool_calls = content, calls
    return message


def _read_call(tag: str, attributes: dict[str, str], inner: str | None) -> ToolCall:
    _check(tag, attributes, "name", "id")
    if tag != "tool" or len(attributes) < 2:
        raise PromptFileError(f"found <{tag}> among tool calls; each is a <tool> with the attributes name and id")
    return ToolCall(id=attributes["id"], function=FunctionTool(name=attributes["name"], arguments=inner))


def _read_part(tag: str, attributes: dict[str, str], inner: str | None) -> TextChatContent | ImageChatContent:
    if tag == "image":
        _check(tag, attributes, "url", "detail")
        if "url" not in attributes:
            raise PromptFileError("an <image> needs the attribute url")
        return ImageChatContent(image_url=msgspec.convert(attributes, ImageUrl))
    if tag != "text":
        raise PromptFileError(f"found <{tag}> in a message; its parts are <text> and <image>")
    _check(tag, attributes)
    return TextChatContent(text=inner or "")


def _check(tag: str, attributes: Mapping[str, str], *known: str) -> None:
    if unknown := sorted(attributes.keys() - set(known)):
        raise PromptFileError(f"<{tag}> has the unknown attribute {unknown[0]!r}")
