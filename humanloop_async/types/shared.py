"""Types that several operations share: usage, tools, messages, model configurations, errors.

Response types ignore unknown fields, and their optional fields may be null. Generation requests and model
configurations reject unknown fields, as v4 does; other requests ignore them. A null request field means an absent one;
`humanloop_async.wire.requests` removes nulls before decoding. Docstrings describe each field once: the generated client
and ``/openapi.json`` take their descriptions from the ``Attributes:`` sections.
"""

from __future__ import annotations

import json
from collections.abc import Generator, KeysView, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, NoReturn, Self, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Meta, Struct, field

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
else:  # msgspec decodes any JSON value into Any; it does not support recursive aliases
    Json: TypeAlias = Any

ItemT = TypeVar("ItemT")
ResponseT = TypeVar("ResponseT")

DateTime: TypeAlias = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601 in JSON. One without a zone is UTC."""

PageNumber: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)]
PageSize: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
"""Records per page."""

ReasoningEffort: TypeAlias = Literal["high", "medium", "low"] | int
"""A level for OpenAI's reasoning models, or a token budget for Anthropic's."""

ToolSource: TypeAlias = Literal["organization", "inline"]
Endpoint: TypeAlias = Literal["complete", "chat", "edit"]
TemplateLanguage: TypeAlias = Literal["default", "jinja"]


def decode_json(raw: bytes) -> Json:
    """Decode JSON leniently: one unrepresentable value must not make the rest unreadable.

    Invalid UTF-8 becomes replacement characters, and a number out of range becomes infinite. A lone surrogate is a
    `ValueError`, as all that is not JSON.
    """
    text = raw.decode(errors="replace")
    try:
        decoded: Json = msgspec.json.decode(text)
    except msgspec.ValidationError:  # a number too large for a float, or an int of thousands of digits
        decoded = json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4000 else float(digits))
        msgspec.json.encode(decoded)  # raises for lone surrogates, which `json` accepts and msgspec rejects
    return decoded


class _Renamed:
    """An attribute of the 0.7 SDK's objects, whose error names its successor. For type checkers it does not exist."""

    def __init__(self, successor: str) -> None:
        self._successor = successor

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(f"{owner.__name__} has no {self._name!r}; use {self._successor}")


class Convertible:
    """Methods of every object of the API."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the object as a dict of plain JSON types, for `json.dumps` and the responses of web frameworks."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def to_json(self) -> str:
        """Return the object as JSON text."""
        return msgspec.json.encode(self).decode()

    if not TYPE_CHECKING:
        dict = _Renamed("to_dict()")
        model_dump = _Renamed("to_dict()")
        json = _Renamed("to_json()")
        model_dump_json = _Renamed("to_json()")


class ApiObject(Convertible, Struct):
    """Base of the objects of the API."""


class ResponseMeta:
    """HTTP metadata of a decoded response.

    `headers`, `status` and `round_trip_time` are empty on an object that no call returned.
    """

    __slots__ = ()

    def _decoded(self) -> Json:
        attributes = self.__dict__
        if not attributes.get("_raw"):  # no call returned the object: its fields are all there is, and may change
            return decode_json(msgspec.json.encode(self))
        if "_body" not in attributes:
            attributes["_body"] = decode_json(attributes["_raw"])
        return cast("Json", attributes["_body"])

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
        """Seconds from sending the request to the end of the response, retries included."""
        seconds: float = self.__dict__.get("_round_trip_time", 0.0)
        return seconds

    def attach(self, *, raw: bytes | None, headers: Mapping[str, str], status: int, round_trip_time: float) -> None:
        """Attach the HTTP response behind this object. For transports and the client."""
        attributes = cast("dict[str, object]", self.__dict__)
        attributes.update(_raw=raw, _headers=headers, _status=status, _round_trip_time=round_trip_time)


def _awaited(response: ResponseT) -> Generator[None, None, ResponseT]:
    """Reject ``await client.chat(...)`` of the sync client with the way out.

    Only then: libraries await every result that is awaitable, so a response of the async client returns itself.
    """
    if response.__dict__.get("_from_sync_client"):
        raise TypeError("this call of Humanloop has returned its response already; to await calls, use AsyncHumanloop")
    return response
    yield


class Response(ResponseMeta, ApiObject, kw_only=True, dict=True):
    """Base of every response that is a JSON object.

    ``response["data"]`` and ``dict(response)`` read its `body`.
    """

    @property
    def body(self) -> dict[str, Any]:
        """The response as decoded JSON, unknown fields included; the 0.5 SDK's `body`."""
        return cast("dict[str, Any]", self._decoded())

    def to_dict(self) -> dict[str, Any]:
        """Return `body`: the response as a dict of plain JSON types, unknown fields included."""
        return self.body

    def to_json(self) -> str:
        """Return `body` as JSON text."""
        return msgspec.json.encode(self.body).decode()

    if not TYPE_CHECKING:

        def __await__(self) -> Generator[None, None, Self]:
            return _awaited(self)

    def keys(self) -> KeysView[str]:
        """Return the names in `body`. ``dict()`` and the encoders of web frameworks call this."""
        return self.body.keys()

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def __contains__(self, name: object) -> bool:
        return name in self.body

    __iter__: ClassVar[None] = None  # otherwise `__getitem__` would make it iterable, starting with item 0

    # A Struct copies and pickles its fields only.

    def __copy__(self) -> Self:
        copied = msgspec.structs.replace(self)
        cast("dict[str, object]", copied.__dict__).update(self.__dict__)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return (*super().__reduce__(), {name: value for name, value in self.__dict__.items() if name != "_body"})


class ResponseList(ResponseMeta, list[ItemT]):
    """A response that is a JSON list: a list of its items."""

    @property
    def body(self) -> list[Any]:
        """The response as decoded JSON, unknown fields included; the 0.5 SDK's `body`."""
        return cast("list[Any]", self._decoded())

    def to_dict(self) -> list[Any]:
        """Return `body`: a list of the items as dicts of plain JSON types."""
        return self.body

    def to_json(self) -> str:
        """Return `body` as JSON text."""
        return msgspec.json.encode(self.body).decode()

    if not TYPE_CHECKING:

        def __await__(self) -> Generator[None, None, Self]:
            return _awaited(self)


class ResponseText(ResponseMeta, str):
    """A response that is a text."""

    @property
    def body(self) -> str:
        """The text as a plain `str`; the 0.5 SDK's `body`."""
        return str(self)

    if not TYPE_CHECKING:

        def __await__(self) -> Generator[None, None, Self]:
            return _awaited(self)


class PaginatedData(Response, Generic[ItemT], kw_only=True):
    """One page of a list. The first page is 0 or 1, depending on the operation.

    Attributes:
        records: The page's objects; none past the end.
        page: Number of this page.
        size: Records per page.
        total: Records of all pages together.
    """

    records: list[ItemT]
    page: int
    size: int
    total: int


class Usage(ApiObject, kw_only=True):
    """Token counts of one call, all samples together."""

    prompt_tokens: int
    generation_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None


class FunctionTool(ApiObject, kw_only=True):
    """A call of a function.

    Attributes:
        name: Name of the function.
        arguments: The arguments as JSON text.
    """

    name: str
    arguments: str | None = None


class ToolCall(ApiObject, kw_only=True):
    """A tool call of an assistant's message.

    Attributes:
        id: Id of the tool call.
        type: Kind of the tool.
        function: The function and its arguments.
    """

    id: str
    type: Literal["function"] = "function"
    function: FunctionTool


class FunctionToolChoice(ApiObject, kw_only=True):
    """The function that a `ToolChoice` names.

    Attributes:
        name: Name of the function.
    """

    name: str


class ToolChoice(ApiObject, kw_only=True):
    """A function that the model must call.

    Attributes:
        type: Kind of the tool.
        function: The function.
    """

    type: Literal["function"] = "function"
    function: FunctionToolChoice


ToolChoiceValue: TypeAlias = Literal["none", "auto", "required"] | ToolChoice


class ToolResultResponse(ApiObject, kw_only=True):
    """The result of a tool that the template called before the model call."""

    id: str
    name: str
    signature: str
    result: str


class ResponseFormat(ApiObject, kw_only=True):
    """The format to enforce on the output.

    Attributes:
        type: Either "json_object" (any JSON object) or "json_schema" (a JSON schema).
        json_schema: The schema, for the type "json_schema".
    """

    type: Literal["json_object", "json_schema"]
    json_schema: dict[str, Json] | None = None


class ProviderApiKeys(ApiObject, kw_only=True):
    """Provider keys of one request. The server uses them for that request and never stores them."""

    openai: str | None = None
    ai21: str | None = None
    mock: str | None = None
    anthropic: str | None = None
    cohere: str | None = None
    openai_azure: str | None = None
    openai_azure_endpoint: str | None = None
    bedrock: str | None = None
    deepseek: str | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # keeps keys out of logs and tracebacks
        return [(name, ...) for name in self.__struct_fields__ if getattr(self, name)]

    def __repr__(self) -> str:
        return f"ProviderApiKeys({', '.join(f'{name}=...' for name, _ in self.__rich_repr__())})"


class ImageUrl(ApiObject, kw_only=True):
    """An image by its address.

    Attributes:
        url: Address of the image, or a ``data:`` URL.
        detail: Resolution that the model sees the image in.
    """

    url: str
    detail: Literal["high", "low", "auto"] | None = None


class TextChatContent(ApiObject, kw_only=True, tag_field="type", tag="text"):
    """A text part of a message.

    Attributes:
        text: The text.
    """

    text: str


class ImageChatContent(ApiObject, kw_only=True, tag_field="type", tag="image_url"):
    """An image part of a message.

    Attributes:
        image_url: The image.
    """

    image_url: ImageUrl


class AnthropicThinkingContent(ApiObject, kw_only=True, tag_field="type", tag="thinking"):
    """A thinking block, to return to the model unchanged.

    Attributes:
        thinking: The text of the block.
        signature: Signature of the block.
    """

    thinking: str
    signature: str


class AnthropicRedactedThinkingContent(ApiObject, kw_only=True, tag_field="type", tag="redacted_thinking"):
    """An encrypted thinking block, to return to the model unchanged.

    Attributes:
        data: The encrypted block.
    """

    data: str


class ChatMessage(ApiObject, kw_only=True):
    """A message of a conversation (``ChatMessageWithToolCall`` in the v4 document).

    Attributes:
        role: The author of the message.
        content: The text, or a list of text and image parts.
        name: Name of the author, or of the tool that a "tool" message is from.
        tool_call_id: Id of the tool call that a "tool" message is the result of.
        tool_calls: Tool calls of an "assistant" message.
        tool_call: Deprecated: the only tool call of an "assistant" message.
        thinking: Thinking blocks of an "assistant" message.
    """

    role: Literal["user", "assistant", "system", "tool"]
    content: str | list[TextChatContent | ImageChatContent] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call: FunctionTool | None = None
    thinking: list[AnthropicThinkingContent | AnthropicRedactedThinkingContent] | None = None


class ToolFields(ApiObject, kw_only=True):
    """The fields of a tool in requests and responses.

    Attributes:
        name: Name of the function.
        description: Description of the function, for the model.
        parameters: JSON schema of the arguments.
        strict: Whether the arguments must match the schema exactly.
        source: Either "organization" (a stored tool) or "inline".
        source_code: Code of the tool.
        other: Any further parameters.
        preset_name: Name of the preset tool.
    """

    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None
    source_code: str | None = None
    other: dict[str, Json] | None = None
    preset_name: str | None = None


class ModelConfigTool(ToolFields, kw_only=True):
    """A tool of a model configuration: inline, or linked by `id` with source "organization".

    Attributes:
        id: Id of a tool of the organisation.
    """

    name: str | None = None
    id: str | None = None
    source: ToolSource | None = None

    def __post_init__(self) -> None:
        if self.name is None and self.id is None:
            raise ValueError("a tool needs a `name`, or the `id` of an organisation's tool")


class ModelConfigFields(ApiObject, kw_only=True, forbid_unknown_fields=True):
    """The parameters of every model configuration.

    Attributes:
        model: Name of the model, such as "gpt-4o".
        name: Name of the configuration.
        description: Description of the configuration.
        provider: Name of the provider.
        max_tokens: Most tokens to generate per sample; -1 for as many as fit.
        temperature: Sampling temperature.
        top_p: Share of the probability mass to sample from.
        stop: Text, or texts, that end the output.
        presence_penalty: Penalty on tokens that are present already, -2 to 2.
        frequency_penalty: Penalty on tokens by how often they are present already, -2 to 2.
        other: Further parameters for the provider.
        seed: Seed for reproducible outputs, if the provider supports it.
        response_format: The format to enforce on the output, such as JSON.
        reasoning_effort: Effort level for OpenAI's reasoning models, or the thinking budget of Anthropic's, in tokens.
        template_language: Language of the template.
    """

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
    """The parameters of a completion.

    Attributes:
        endpoint: Whether the configuration is for completions or for chats.
        prompt_template: The prompt, with ``{{ names }}`` for the inputs.
    """

    endpoint: Endpoint = "complete"
    prompt_template: str | None = None


class ModelConfigChatRequest(ModelConfigFields, kw_only=True):
    """The parameters of a chat.

    Attributes:
        endpoint: Whether the configuration is for completions or for chats.
        chat_template: Messages to put before the request's messages, with ``{{ names }}`` for the inputs.
        tools: Tools that the model may call.
    """

    endpoint: Endpoint = "chat"
    chat_template: list[ChatMessage] | None = None
    tools: list[ModelConfigTool] | None = None


class ValidationIssue(ApiObject, kw_only=True):
    """One problem of a request.

    Attributes:
        loc: Path of the field, such as ``["body", "inputs"]``.
        msg: The problem.
        type: Kind of the problem, such as "value_error.missing".
    """

    loc: list[str | int]
    msg: str
    type: str


class HTTPValidationError(ApiObject, kw_only=True, omit_defaults=True):
    """Body of a 422 response to a request that does not match the operation's schema.

    Attributes:
        request_id: The ``X-Request-Id`` of the response. An extension of v4.
    """

    detail: list[ValidationIssue]
    request_id: str | None = None


class ErrorDetail(ApiObject, kw_only=True):
    """Details of an error.

    Attributes:
        type: The v4 error type, such as "not_found_error".
        message: The error message.
        code: The HTTP status code.
        origin: The source of the error: a provider's name, or "Humanloop".
    """

    type: str
    message: str
    code: int
    origin: str


class ErrorResponse(ApiObject, kw_only=True, omit_defaults=True):
    """Body of every other error response, and of an error event inside a stream.

    Attributes:
        request_id: The ``X-Request-Id`` of the response. An extension of v4.
    """

    detail: ErrorDetail
    request_id: str | None = None
