"""Build v4's responses. An event of a stream has the same shape, with one sample (`.mux`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ...types import (
    ChatDataResponse,
    ChatFields,
    ChatResponse,
    CompletionFields,
    CompletionResponse,
    DataResponse,
    Json,
    Usage,
)
from .generation import Generation, Sample, output_message

OMITTED: Any = msgspec.Raw(b"\0")
"""A value that JSON cannot contain, for the field `reasoning`. v4 has no such field, so samples without reasoning omit
it."""

NO_REASONING = b',"reasoning":\0'
"""The encoded field with the value `OMITTED`; replace it with nothing."""


def encode_response(generation: Generation, usage: Usage | None, responses: Sequence[Json]) -> bytes:
    """Return the JSON body for a generation whose samples have all finished, with the provider's `responses`."""
    samples = (_sample_fields(generation, sample) for sample in generation.samples)
    encoded = msgspec.json.encode(build_response(generation, samples, usage=usage, provider_responses=responses))
    return encoded.replace(NO_REASONING, b"")


def build_response(
    generation: Generation,
    samples: Iterable[dict[str, Any]],
    *,
    usage: Any,
    provider_responses: Sequence[Any],
    echo: bool = True,
) -> ChatResponse | CompletionResponse:
    """Return a response, or an event.

    Args:
        generation: The call; gives the fields that are the same for all samples and events.
        samples: The other fields of each sample, as values or placeholders.
        usage: A `Usage`, None, or a placeholder.
        provider_responses: JSON values, or placeholders.
        echo: Whether to repeat the request's inputs, its metadata and the request to the provider.
    """
    request, context = generation.request, generation.context
    has_session = request.session_id is not None or request.session_reference_id is not None
    common: dict[str, Any] = {
        "project_id": context.project_id,
        "num_samples": request.num_samples,
        "user": request.user,
        "metadata": request.metadata if echo else None,
        "provider_request": generation.target.request if echo else None,
        "session_id": context.session_id if has_session else None,
        "usage": usage,
        "provider_responses": provider_responses,
    }
    inputs = request.inputs if echo and request.return_inputs else {}
    shared: dict[str, Any] = {"inputs": inputs, "model_config_id": context.config_id}
    if echo:
        shared["tool_results"] = generation.target.tool_results
    if isinstance(request, ChatFields):
        common |= {"tool_choice": request.tool_choice, "tool_call": request.tool_call}
        return ChatResponse(data=[ChatDataResponse(**fields, **shared) for fields in samples], **common)
    if isinstance(request, CompletionFields):
        common |= {"logprobs": request.logprobs, "suffix": request.suffix}
    return CompletionResponse(data=[DataResponse(**fields, **shared) for fields in samples], **common)


def _sample_fields(generation: Generation, sample: Sample) -> dict[str, Any]:
    text = sample.text
    fields: dict[str, Any] = {
        "id": sample.id,
        "index": sample.index,
        "output": text.strip(),
        "raw_output": text,
        "finish_reason": sample.finish_reason,
        "reasoning": sample.reasoning or OMITTED,
    }
    if isinstance(generation.request, ChatFields):
        message = output_message(text, sample.tool_calls)
        fields |= {
            "messages": generation.messages,
            "tool_call": message.tool_call,
            "tool_calls": message.tool_calls,
            "output_message": message,
        }
    return fields
