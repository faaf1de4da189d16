"""Async SDK and self-hosted server for the Humanloop v4 API.

The public names are loaded on first use (PEP 562): importing the package costs next to nothing.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .client.client import AsyncHumanloop
    from .client.core import OpeningStream
    from .client.pages import Pages
    from .client.stream import ChatStream, CompletionStream, SampleStream, TextStream
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
    from .server.http.app import create_app
    from .server.running.embedded import EmbeddedServer
    from .sync.client import Humanloop
    from .sync.pages import SyncPages
    from .sync.stream import SyncChatStream, SyncCompletionStream, SyncSampleStream
    from .transport.aiohttp_transport import AiohttpTransport
    from .transport.base import ResponseStream, Transport
    from .transport.httpx_transport import HttpxTransport
    from .types import (
        AgentConfigResponse,
        AnthropicRedactedThinkingContent,
        AnthropicThinkingContent,
        ChatChunk,
        ChatDataResponse,
        ChatMessage,
        ChatResponse,
        CompletionChunk,
        CompletionResponse,
        ConfigResponse,
        CreateLogResponse,
        CreateSessionResponse,
        DataResponse,
        EnvironmentProjectConfigResponse,
        EvaluatorConfigResponse,
        ExperimentConfigResponse,
        ExperimentResponse,
        Feedback,
        FeedbackRequest,
        FeedbackResponse,
        FunctionTool,
        FunctionToolChoice,
        GenericConfigResponse,
        GetModelConfigResponse,
        ImageChatContent,
        ImageUrl,
        Json,
        LogRequest,
        LogResponse,
        ModelConfigChatRequest,
        ModelConfigCompletionRequest,
        ModelConfigResponse,
        ModelConfigTool,
        PaginatedData,
        PositiveLabel,
        ProjectConfigResponse,
        ProjectResponse,
        ProviderApiKeys,
        ReasoningEffort,
        ResponseFormat,
        ResponseList,
        SessionResponse,
        TextChatContent,
        ToolCall,
        ToolChoice,
        ToolChoiceValue,
        ToolConfigResponse,
        ToolResultResponse,
        Usage,
    )
    from .wire.requests import HttpRequest
    from .wire.sse import EventStreamDecoder, encode_event

__all__ = [
    "AgentConfigResponse",
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
    "ConfigResponse",
    "ConflictError",
    "ConnectTimeout",
    "CreateLogResponse",
    "CreateSessionResponse",
    "DataResponse",
    "EmbeddedServer",
    "EnvironmentProjectConfigResponse",
    "EvaluatorConfigResponse",
    "EventStreamDecoder",
    "EventTooLarge",
    "ExperimentConfigResponse",
    "ExperimentResponse",
    "Feedback",
    "FeedbackRequest",
    "FeedbackResponse",
    "FirstTokenTimeout",
    "FunctionTool",
    "FunctionToolChoice",
    "GenericConfigResponse",
    "GetModelConfigResponse",
    "HttpRequest",
    "HttpxTransport",
    "Humanloop",
    "IdleTimeout",
    "ImageChatContent",
    "ImageUrl",
    "InvalidArgument",
    "InvalidEvent",
    "InvalidResponse",
    "Json",
    "LogRequest",
    "LogResponse",
    "ModelConfigChatRequest",
    "ModelConfigCompletionRequest",
    "ModelConfigResponse",
    "ModelConfigTool",
    "NotFoundError",
    "OpeningStream",
    "Pages",
    "PaginatedData",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PositiveLabel",
    "ProjectConfigResponse",
    "ProjectResponse",
    "ProviderApiKeys",
    "RateLimitError",
    "ReasoningEffort",
    "ResponseFormat",
    "ResponseList",
    "ResponseStream",
    "SampleStream",
    "ServerError",
    "SessionResponse",
    "StatusError",
    "StreamBusy",
    "StreamClosed",
    "StreamError",
    "StreamTruncated",
    "SyncChatStream",
    "SyncCompletionStream",
    "SyncPages",
    "SyncSampleStream",
    "TextChatContent",
    "TextStream",
    "Timeout",
    "ToolCall",
    "ToolChoice",
    "ToolChoiceValue",
    "ToolConfigResponse",
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
    "Pages": "client.pages",
    "ChatStream": "client.stream",
    "CompletionStream": "client.stream",
    "SampleStream": "client.stream",
    "TextStream": "client.stream",
    "Timeout": "config",
    "create_app": "server.http.app",
    "EmbeddedServer": "server.running.embedded",
    "Humanloop": "sync.client",
    "SyncPages": "sync.pages",
    "SyncChatStream": "sync.stream",
    "SyncCompletionStream": "sync.stream",
    "SyncSampleStream": "sync.stream",
    "AiohttpTransport": "transport.aiohttp_transport",
    "ResponseStream": "transport.base",
    "Transport": "transport.base",
    "HttpxTransport": "transport.httpx_transport",
    "HttpRequest": "wire.requests",
    "EventStreamDecoder": "wire.sse",
    "encode_event": "wire.sse",
}


_EXTRAS = {"HttpxTransport": "httpx", "EmbeddedServer": "server", "create_app": "server"}
_LIBRARIES = {"httpx": "httpx", "server": "sqlalchemy"}
"""The extras that a public name needs, and a library by which to see whether one is installed."""

if not TYPE_CHECKING:  # a type checker would take every misspelt name for one that is made on first use
    _names = __all__
    del __all__  # made when asked for: to look for libraries takes longer than all the rest of this import

    def _there() -> list[str]:
        """The names whose libraries are installed, so that `import *`, help() and the like do without the others."""
        from importlib.util import find_spec

        def is_there(library: str) -> bool:
            try:
                return find_spec(library) is not None
            except ValueError:  # put there by hand, as tests do
                return True

        missing = {extra for extra, library in _LIBRARIES.items() if not is_there(library)}
        return [name for name in _names if _EXTRAS.get(name) not in missing]

    def __getattr__(name: str) -> object:
        if name == "__all__":
            return globals().setdefault(name, _there())
        if name not in _names:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        homes = [_HOMES[name]] if name in _HOMES else ["errors", "types"]
        for home in homes:
            try:
                module = import_module(f".{home}", __name__)
            except ImportError as exc:
                if name not in _EXTRAS:
                    raise
                words = f"{name} needs more: pip install 'humanloop_async[{_EXTRAS[name]}]'"
                # hasattr() and its like want an AttributeError, of which an import statement would drop the words.
                importing = sys._getframe(1).f_globals.get("__name__") == "importlib._bootstrap"
                raise (ImportError if importing else AttributeError)(words) from exc
            if hasattr(module, name):
                value: object = getattr(module, name)
                globals()[name] = value  # the next use does not come here
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sys.modules[__name__].__all__
