"""Types that several operations share: usage, tools, messages, model configurations, errors.

Response types ignore unknown fields, and their optional fields may be null. Requests of generation and model
configurations refuse unknown fields, as v4 does; the others read past them. A null request field means an absent one,
which `humanloop_async.wire.requests` sees to.
"""

from __future__ import annotations

import json
from collections.abc import KeysView, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Meta, Struct, field

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
else:  # msgspec decodes any JSON value into Any; it knows no recursive aliases
    Json: TypeAlias = Any

ItemT = TypeVar("ItemT")

DateTime: TypeAlias = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601 in JSON. One without a zone is UTC."""

PageNumber: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)]
PageSize: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
"""How many records a page may hold; more than that is several pages."""

ReasoningEffort: TypeAlias = Literal["high", "medium", "low"] | int
"""A level for OpenAI's reasoning models, or a token budget for Anthropic's."""

Endpoint: TypeAlias = Literal["complete", "chat", "edit"]
TemplateLanguage: TypeAlias = Literal["default", "jinja"]


def decode_json(raw: bytes) -> Json:
    """JSON of which only a part was read before: what could not be is no reason to lose the rest.

    Broken UTF-8 becomes replacement characters; a number out of range is infinite.
    """
    text = raw.decode(errors="replace")
    try:
        decoded: Json = msgspec.json.decode(text)
    except msgspec.ValidationError:  # a number that no float holds, or an int of thousands of digits
        decoded = json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4000 else float(digits))
    return decoded


class Answer:
    """What every decoded answer knows of the HTTP response it came from.

    `headers`, `status` and `round_trip_time` are empty on an object that no call returned.
    """

    __slots__ = ()

    def _decoded(self) -> Json:
        kept = self.__dict__
        if not kept.get("_raw"):  # no call returned it: its fields are all there is, and may change
            return decode_json(msgspec.json.encode(self))
        if "_body" not in kept:
            kept["_body"] = decode_json(kept["_raw"])
        return cast("Json", kept["_body"])

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        headers: Mapping[str, str] = self.__dict__.get("_headers", {})
        return headers

    @property
    def status(self) -> int:
        """The HTTP status code, 0 on an object that no call returned."""
        status: int = self.__dict__.get("_status", 0)
        return status

    @property
    def round_trip_time(self) -> float:
        """Seconds from sending the request to the end of its answer, retries included."""
        seconds: float = self.__dict__.get("_round_trip_time", 0.0)
        return seconds

    def attach(self, *, raw: bytes | None, headers: Mapping[str, str], status: int, round_trip_time: float) -> None:
        """Remember the HTTP response behind this object. For transports and the client."""
        attributes = cast("dict[str, object]", self.__dict__)
        attributes.update(_raw=raw, _headers=headers, _status=status, _round_trip_time=round_trip_time)


class Response(Answer, Struct, kw_only=True, dict=True):
    """Base of every answer that is a JSON object.

    ``response["data"]`` and ``dict(response)`` are those of its `body`.
    """

    @property
    def body(self) -> dict[str, Json]:
        """The answer as decoded JSON, unknown fields included; what the 0.5 SDK called `body`."""
        return cast("dict[str, Json]", self._decoded())

    def keys(self) -> KeysView[str]:
        """The names in `body`; by them ``dict()`` reads it, and with it the encoders of web frameworks."""
        return self.body.keys()

    def __getitem__(self, name: str) -> Json:
        return self.body[name]

    def __contains__(self, name: object) -> bool:
        return name in self.body

    __iter__: ClassVar[None] = None  # else there would be one that asks for item 0

    # A Struct leaves out what is no field of its own.

    def __copy__(self) -> Self:
        copied = msgspec.structs.replace(self)
        cast("dict[str, object]", copied.__dict__).update(self.__dict__)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return (*super().__reduce__(), {name: value for name, value in self.__dict__.items() if name != "_body"})


class ResponseList(Answer, list[ItemT]):
    """An answer that is a JSON list: a list of its items."""

    @property
    def body(self) -> list[Json]:
        """The answer as decoded JSON, unknown fields included; what the 0.5 SDK called `body`."""
        return cast("list[Json]", self._decoded())


class PaginatedData(Response, Generic[ItemT], kw_only=True):
    """One page of a list. Which number the first page has, 0 or 1, depends on the operation.

    Attributes:
        records: The page's objects; none past the end.
        page: The number of this page.
        size: How many records a page holds.
        total: How many records all pages hold.
    """

    records: list[ItemT]
    page: int
    size: int
    total: int


class Usage(Struct, kw_only=True):
    """Token counts of one call, all samples together."""

    prompt_tokens: int
    generation_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None


class FunctionTool(Struct, kw_only=True):
    """A function a model wants called; `arguments` is JSON as text."""

    name: str
    arguments: str | None = None


class ToolCall(Struct, kw_only=True):
    """One tool call of an assistant's message."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionTool


class FunctionToolChoice(Struct, kw_only=True):
    """The name of the function to force."""

    name: str


class ToolChoice(Struct, kw_only=True):
    """Forces the model to call one named function."""

    type: Literal["function"] = "function"
    function: FunctionToolChoice


ToolChoiceValue: TypeAlias = Literal["none", "auto", "required"] | ToolChoice


class ToolResultResponse(Struct, kw_only=True):
    """A tool that the template called before the model was asked."""

    id: str
    name: str
    signature: str
    result: str


class ResponseFormat(Struct, kw_only=True):
    """Asks the model for JSON; `json_schema` goes with type ``json_schema``."""

    type: Literal["json_object", "json_schema"]
    json_schema: dict[str, Json] | None = None


class ProviderApiKeys(Struct, kw_only=True):
    """Provider keys of one request. They are used for that request and never stored."""

    openai: str | None = None
    ai21: str | None = None
    mock: str | None = None
    anthropic: str | None = None
    cohere: str | None = None
    openai_azure: str | None = None
    openai_azure_endpoint: str | None = None
    bedrock: str | None = None
    deepseek: str | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # a key is never shown in a log or a traceback
        return [(name, ...) for name in self.__struct_fields__ if getattr(self, name)]

    def __repr__(self) -> str:
        return f"ProviderApiKeys({', '.join(f'{name}=...' for name, _ in self.__rich_repr__())})"


class ImageUrl(Struct, kw_only=True):
    """An image by address; `detail` is the resolution the model looks at."""

    url: str
    detail: Literal["high", "low", "auto"] | None = None


class TextChatContent(Struct, kw_only=True, tag_field="type", tag="text"):
    """A text part of a message."""

    text: str


class ImageChatContent(Struct, kw_only=True, tag_field="type", tag="image_url"):
    """An image part of a message."""

    image_url: ImageUrl


class AnthropicThinkingContent(Struct, kw_only=True, tag_field="type", tag="thinking"):
    """A thinking block to hand back to the model unchanged."""

    thinking: str
    signature: str


class AnthropicRedactedThinkingContent(Struct, kw_only=True, tag_field="type", tag="redacted_thinking"):
    """An encrypted thinking block to hand back to the model unchanged."""

    data: str


class ChatMessage(Struct, kw_only=True):
    """One message of a conversation (``ChatMessageWithToolCall`` in the v4 document)."""

    role: Literal["user", "assistant", "system", "tool"]
    content: str | list[TextChatContent | ImageChatContent] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call: FunctionTool | None = None
    thinking: list[AnthropicThinkingContent | AnthropicRedactedThinkingContent] | None = None


class ModelConfigTool(Struct, kw_only=True):
    """A tool of a model configuration: inline, or linked by `id` with source ``organization``."""

    name: str | None = None
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None
    id: str | None = None
    source: Literal["organization", "inline"] | None = None
    source_code: str | None = None
    other: dict[str, Json] | None = None
    preset_name: str | None = None

    def __post_init__(self) -> None:
        if self.name is None and self.id is None:
            raise ValueError("a tool needs a `name`, or the `id` of an organisation's tool")


class ModelConfigFields(Struct, kw_only=True, forbid_unknown_fields=True):
    """What every model configuration has in common. `max_tokens` -1 means as many as fit."""

    model: str
    name: str | None = None
    description: str | None = None
    provider: str = "openai"
    max_tokens: Annotated[int, Meta(ge=-1)] = -1
    temperature: float = 1
    top_p: float = 1
    stop: str | list[str] | None = None
    presence_penalty: float = 0
    frequency_penalty: float = 0
    other: dict[str, Json] = field(default_factory=dict[str, Json])
    seed: int | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    template_language: TemplateLanguage = "default"


class ModelConfigCompletionRequest(ModelConfigFields, kw_only=True):
    """The parameters of a completion."""

    endpoint: Endpoint = "complete"
    prompt_template: str | None = None


class ModelConfigChatRequest(ModelConfigFields, kw_only=True):
    """The parameters of a chat. `chat_template` goes before the request's messages."""

    endpoint: Endpoint = "chat"
    chat_template: list[ChatMessage] | None = None
    tools: list[ModelConfigTool] | None = None


class ValidationIssue(Struct, kw_only=True):
    """One problem of a request: where it is (``["body", "inputs"]``), what it is, its kind."""

    loc: list[str | int]
    msg: str
    type: str


class HTTPValidationError(Struct, kw_only=True):
    """Body of a 422 for a request that does not fit the operation's schema."""

    detail: list[ValidationIssue]


class ErrorDetail(Struct, kw_only=True):
    """What went wrong, and whose word it is: `origin` is a provider's name, or ``Humanloop``."""

    type: str
    message: str
    code: int
    origin: str


class ErrorResponse(Struct, kw_only=True):
    """Body of every other refusal, and of an error event inside a stream."""

    detail: ErrorDetail
