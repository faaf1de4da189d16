"""The table of v4 operations: the client calls through it, the server routes by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec

from .. import types as t

RequestT = TypeVar("RequestT", bound=msgspec.Struct, covariant=True)
ResponseT = TypeVar("ResponseT", bound=t.Response, covariant=True)


@dataclass(frozen=True, slots=True)
class Operation(Generic[RequestT, ResponseT]):
    """One v4 operation.

    Attributes:
        id: Its ``operationId`` in the v4 document.
        method, path: How it is called; the path is relative to the base URL and starts with "/".
        request, response: The Structs of its bodies.
        event: The Struct of one event when it can stream, else None.
        summary: One line for people.
    """

    id: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    request: type[RequestT]
    response: type[ResponseT]
    event: type[t.CompletionEvent] | type[t.ChatEvent] | None = None
    summary: str = ""


COMPLETE = Operation(
    "Completions_create",
    "POST",
    "/completion",
    t.CompletionRequest,
    t.CompletionResponse,
    t.CompletionEvent,
    "Complete a prompt with the model configuration in the request.",
)
COMPLETE_DEPLOYED = Operation(
    "Completions_createDeployed",
    "POST",
    "/completion-deployed",
    t.CompletionDeployedRequest,
    t.CompletionResponse,
    t.CompletionEvent,
    "Complete a prompt with what is deployed to a project's environment.",
)
COMPLETE_EXPERIMENT = Operation(
    "Completions_createExperiment",
    "POST",
    "/completion-experiment",
    t.CompletionExperimentRequest,
    t.CompletionResponse,
    t.CompletionEvent,
    "Complete a prompt with a configuration sampled from an experiment.",
)
COMPLETE_MODEL_CONFIG = Operation(
    "Completions_createModelConfig",
    "POST",
    "/completion-model-config",
    t.CompletionModelConfigRequest,
    t.CompletionResponse,
    t.CompletionEvent,
    "Complete a prompt with a stored model configuration.",
)
CHAT = Operation(
    "Chats_create",
    "POST",
    "/chat",
    t.ChatRequest,
    t.ChatResponse,
    t.ChatEvent,
    "Continue a conversation with the model configuration in the request.",
)
CHAT_DEPLOYED = Operation(
    "Chats_createDeployed",
    "POST",
    "/chat-deployed",
    t.ChatDeployedRequest,
    t.ChatResponse,
    t.ChatEvent,
    "Continue a conversation with what is deployed to a project's environment.",
)
CHAT_EXPERIMENT = Operation(
    "Chats_createExperiment",
    "POST",
    "/chat-experiment",
    t.ChatExperimentRequest,
    t.ChatResponse,
    t.ChatEvent,
    "Continue a conversation with a configuration sampled from an experiment.",
)
CHAT_MODEL_CONFIG = Operation(
    "Chats_createModelConfig",
    "POST",
    "/chat-model-config",
    t.ChatModelConfigRequest,
    t.ChatResponse,
    t.ChatEvent,
    "Continue a conversation with a stored model configuration.",
)

OPERATIONS: tuple[Operation[t.GenerationRequest, t.CompletionResponse | t.ChatResponse], ...] = (
    COMPLETE,
    COMPLETE_DEPLOYED,
    COMPLETE_EXPERIMENT,
    COMPLETE_MODEL_CONFIG,
    CHAT,
    CHAT_DEPLOYED,
    CHAT_EXPERIMENT,
    CHAT_MODEL_CONFIG,
)
