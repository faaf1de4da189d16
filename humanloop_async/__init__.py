"""Async SDK and self-hosted server for the Humanloop v4 API.

The public names are loaded on first use (PEP 562): importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .client.client import AsyncHumanloop
    from .client.core import OpeningStream
    from .client.stream import ChatStream, CompletionStream
    from .client.views import SampleStream
    from .config import Timeout
    from .errors import (
        ApiConnectionError,
        ApiException,
        ApiTimeoutError,
        AuthenticationError,
        BadRequestError,
        BufferLimitExceeded,
        ClientClosed,
        ConflictError,
        ConnectTimeout,
        EventTooLarge,
        FirstTokenTimeout,
        IdleTimeout,
        InvalidArgument,
        InvalidEvent,
        InvalidResponse,
        NotFoundError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RateLimitError,
        ServerError,
        StatusError,
        StreamBusy,
        StreamClosed,
        StreamError,
        StreamTruncated,
        TotalTimeout,
        UnprocessableEntityError,
    )
    from .server.app import create_app
    from .server.embedded import EmbeddedServer
    from .sync.client import Humanloop
    from .sync.stream import SyncChatStream, SyncCompletionStream, SyncSampleStream
    from .transport.aiohttp_transport import AiohttpTransport
    from .transport.base import ResponseStream, Transport
    from .transport.httpx_transport import HttpxTransport
    from .types import (
        AnthropicRedactedThinkingContent,
        AnthropicThinkingContent,
        ChatChunk,
        ChatDataResponse,
        ChatMessage,
        ChatResponse,
        CompletionChunk,
        CompletionResponse,
        DataResponse,
        FunctionTool,
        FunctionToolChoice,
        ImageChatContent,
        ImageUrl,
        Json,
        ModelConfigChatRequest,
        ModelConfigCompletionRequest,
        ModelConfigTool,
        ProviderApiKeys,
        ReasoningEffort,
        ResponseFormat,
        TextChatContent,
        ToolCall,
        ToolChoice,
        ToolChoiceValue,
        ToolResultResponse,
        Usage,
    )
    from .wire.sse import EventStreamDecoder, encode_event

__all__ = [
    "AiohttpTransport",
    "AnthropicRedactedThinkingContent",
    "AnthropicThinkingContent",
    "ApiConnectionError",
    "ApiException",
    "ApiTimeoutError",
    "AsyncHumanloop",
    "AuthenticationError",
    "BadRequestError",
    "BufferLimitExceeded",
    "ChatChunk",
    "ChatDataResponse",
    "ChatMessage",
    "ChatResponse",
    "ChatStream",
    "ClientClosed",
    "CompletionChunk",
    "CompletionResponse",
    "CompletionStream",
    "ConflictError",
    "ConnectTimeout",
    "DataResponse",
    "EmbeddedServer",
    "EventStreamDecoder",
    "EventTooLarge",
    "FirstTokenTimeout",
    "FunctionTool",
    "FunctionToolChoice",
    "HttpxTransport",
    "Humanloop",
    "IdleTimeout",
    "ImageChatContent",
    "ImageUrl",
    "InvalidArgument",
    "InvalidEvent",
    "InvalidResponse",
    "Json",
    "ModelConfigChatRequest",
    "ModelConfigCompletionRequest",
    "ModelConfigTool",
    "NotFoundError",
    "OpeningStream",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "ProviderApiKeys",
    "RateLimitError",
    "ReasoningEffort",
    "ResponseFormat",
    "ResponseStream",
    "SampleStream",
    "ServerError",
    "StatusError",
    "StreamBusy",
    "StreamClosed",
    "StreamError",
    "StreamTruncated",
    "SyncChatStream",
    "SyncCompletionStream",
    "SyncSampleStream",
    "TextChatContent",
    "Timeout",
    "ToolCall",
    "ToolChoice",
    "ToolChoiceValue",
    "ToolResultResponse",
    "TotalTimeout",
    "Transport",
    "UnprocessableEntityError",
    "Usage",
    "__version__",
    "create_app",
    "encode_event",
]

_HOMES = {
    "AsyncHumanloop": "client.client",
    "OpeningStream": "client.core",
    "ChatStream": "client.stream",
    "CompletionStream": "client.stream",
    "SampleStream": "client.views",
    "Timeout": "config",
    "create_app": "server.app",
    "EmbeddedServer": "server.embedded",
    "Humanloop": "sync.client",
    "SyncChatStream": "sync.stream",
    "SyncCompletionStream": "sync.stream",
    "SyncSampleStream": "sync.stream",
    "AiohttpTransport": "transport.aiohttp_transport",
    "ResponseStream": "transport.base",
    "Transport": "transport.base",
    "HttpxTransport": "transport.httpx_transport",
    "EventStreamDecoder": "wire.sse",
    "encode_event": "wire.sse",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    homes = [_HOMES[name]] if name in _HOMES else ["errors", "types"]
    for home in homes:
        module = import_module(f".{home}", __name__)
        if hasattr(module, name):
            value: object = getattr(module, name)
            globals()[name] = value  # the next use does not come here
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
