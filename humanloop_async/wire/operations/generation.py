"""Completions and chats."""

from __future__ import annotations

from ... import types as t
from .operation import Operation

COMPLETE = Operation(
    "Completions_create",
    "POST",
    "/completion",
    t.CompletionRequest,
    t.CompletionResponse,
    "Complete a prompt with the model configuration in the request.",
    event=t.CompletionEvent,
    creates=True,
)
COMPLETE_DEPLOYED = Operation(
    "Completions_createDeployed",
    "POST",
    "/completion-deployed",
    t.CompletionDeployedRequest,
    t.CompletionResponse,
    "Complete a prompt with what is deployed to a project's environment.",
    event=t.CompletionEvent,
    creates=True,
)
COMPLETE_EXPERIMENT = Operation(
    "Completions_createExperiment",
    "POST",
    "/completion-experiment",
    t.CompletionExperimentRequest,
    t.CompletionResponse,
    "Complete a prompt with a configuration sampled from an experiment.",
    event=t.CompletionEvent,
    creates=True,
)
COMPLETE_MODEL_CONFIG = Operation(
    "Completions_createModelConfig",
    "POST",
    "/completion-model-config",
    t.CompletionModelConfigRequest,
    t.CompletionResponse,
    "Complete a prompt with a stored model configuration.",
    event=t.CompletionEvent,
    creates=True,
)
CHAT = Operation(
    "Chats_create",
    "POST",
    "/chat",
    t.ChatRequest,
    t.ChatResponse,
    "Continue a conversation with the model configuration in the request.",
    event=t.ChatEvent,
    creates=True,
)
CHAT_DEPLOYED = Operation(
    "Chats_createDeployed",
    "POST",
    "/chat-deployed",
    t.ChatDeployedRequest,
    t.ChatResponse,
    "Continue a conversation with what is deployed to a project's environment.",
    event=t.ChatEvent,
    creates=True,
)
CHAT_EXPERIMENT = Operation(
    "Chats_createExperiment",
    "POST",
    "/chat-experiment",
    t.ChatExperimentRequest,
    t.ChatResponse,
    "Continue a conversation with a configuration sampled from an experiment.",
    event=t.ChatEvent,
    creates=True,
)
CHAT_MODEL_CONFIG = Operation(
    "Chats_createModelConfig",
    "POST",
    "/chat-model-config",
    t.ChatModelConfigRequest,
    t.ChatResponse,
    "Continue a conversation with a stored model configuration.",
    event=t.ChatEvent,
    creates=True,
)

GENERATION_OPERATIONS: tuple[Operation[t.GenerationRequest, t.CompletionResponse | t.ChatResponse], ...] = (
    COMPLETE,
    COMPLETE_DEPLOYED,
    COMPLETE_EXPERIMENT,
    COMPLETE_MODEL_CONFIG,
    CHAT,
    CHAT_DEPLOYED,
    CHAT_EXPERIMENT,
    CHAT_MODEL_CONFIG,
)
