"""The answer of a call that is not streamed."""

from __future__ import annotations

from collections.abc import Sequence
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
from .generation import Generation, output_message


def encode_response(generation: Generation, usage: Usage | None, responses: Sequence[Json]) -> bytes:
    """The JSON body for a generation whose samples have all finished."""
    common: dict[str, Any] = {**echoed_fields(generation), "usage": usage, "provider_responses": responses}
    request = generation.request
    data: list[Any] = []
    for sample in generation.samples:
        text = sample.text
        fields: dict[str, Any] = {
            "id": sample.id,
            "index": sample.index,
            "output": text.strip(),
            "raw_output": text,
            "inputs": request.inputs if request.return_inputs else {},
            "finish_reason": sample.finish_reason,
            "model_config_id": generation.context.config_id,
        }
        if not isinstance(request, ChatFields):
            data.append(DataResponse(**fields))
            continue
        message = output_message(text, sample.tool_calls)
        data.append(
            ChatDataResponse(
                **fields,
                messages=generation.messages,
                tool_call=message.tool_call,
                tool_calls=message.tool_calls,
                output_message=message,
            )
        )
    kind = ChatResponse if isinstance(request, ChatFields) else CompletionResponse
    return msgspec.json.encode(kind(data=data, **common))


def echoed_fields(generation: Generation) -> dict[str, Any]:
    """What an answer, and each event, repeats of the call at its top level."""
    request = generation.request
    named_session = request.session_id is not None or request.session_reference_id is not None
    fields: dict[str, Any] = {
        "project_id": generation.context.project_id,
        "num_samples": request.num_samples,
        "user": request.user,
        "metadata": request.metadata,
        "provider_request": generation.provider_request,
        "session_id": generation.context.session_id if named_session else None,
    }
    if isinstance(request, ChatFields):
        fields |= {"tool_choice": request.tool_choice, "tool_call": request.tool_call}
    elif isinstance(request, CompletionFields):
        fields |= {"logprobs": request.logprobs, "suffix": request.suffix}
    return fields
