"""Completions and chats."""

from __future__ import annotations

from typing import TypeVar

from ... import types as t
from .operation import Operation, rows

CompletionT = TypeVar("CompletionT", bound=t.CompletionFields)
ChatT = TypeVar("ChatT", bound=t.ChatFields)

_CONFIG = {
    "": "the model configuration in the request",
    "Deployed": "the configuration deployed to a project's environment",
    "Experiment": "a configuration sampled from an experiment",
    "ModelConfig": "a stored model configuration",
}


def _completion(
    form: str, path: str, request: type[CompletionT], *names: str
) -> Operation[CompletionT, t.CompletionResponse]:
    summary = f"Complete a prompt with {_CONFIG[form]}."
    return Operation(
        f"Completions_create{form}", "POST", path, request, t.CompletionResponse, summary,
        event=t.CompletionEvent, creates=True, names=names,
    )  # fmt: skip


def _chat(form: str, path: str, request: type[ChatT], *names: str) -> Operation[ChatT, t.ChatResponse]:
    summary = f"Continue a conversation with {_CONFIG[form]}."
    return Operation(
        f"Chats_create{form}", "POST", path, request, t.ChatResponse, summary,
        event=t.ChatEvent, creates=True, names=names,
    )  # fmt: skip


COMPLETE = _completion("", "/completion", t.CompletionRequest, "complete")
COMPLETE_DEPLOYED = _completion("Deployed", "/completion-deployed", t.CompletionDeployedRequest, "complete_deployed")
COMPLETE_EXPERIMENT = _completion(
    "Experiment", "/completion-experiment", t.CompletionExperimentRequest, "complete_experiment"
)
COMPLETE_MODEL_CONFIG = _completion(
    "ModelConfig", "/completion-model-config", t.CompletionModelConfigRequest,
    "complete_model_config", "complete_model_configuration",
)  # fmt: skip
CHAT = _chat("", "/chat", t.ChatRequest, "chat")
CHAT_DEPLOYED = _chat("Deployed", "/chat-deployed", t.ChatDeployedRequest, "chat_deployed")
CHAT_EXPERIMENT = _chat("Experiment", "/chat-experiment", t.ChatExperimentRequest, "chat_experiment")
CHAT_MODEL_CONFIG = _chat(
    "ModelConfig", "/chat-model-config", t.ChatModelConfigRequest, "chat_model_config", "chat_model_configuration"
)

GENERATION_OPERATIONS: tuple[Operation[t.GenerationRequest, t.CompletionResponse | t.ChatResponse], ...] = rows(
    globals()
)
