"""The inputs of evaluators: a log and the datapoint that it was generated for, as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from ...types import DatapointResponse, Json, LogResponse
from ..storage.model_config import ModelConfig
from ..templates.template import variables

_LOG_FIELDS = (
    *("id", "project_id", "session_id", "reference_id", "inputs", "messages", "output", "raw_output", "output_message"),
    *("error", "stdout", "source", "metadata", "user", "environment", "config_id", "finish_reason", "tool_choice"),
    *("created_at", "duration", "provider_latency", "prompt_tokens", "output_tokens", "provider_request"),
    *("provider_response", "source_datapoint_id"),
)


def log_object(log: LogResponse) -> dict[str, Json]:
    """Return a log as evaluators get it."""
    fields: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(log))
    return {name: fields.get(name) for name in _LOG_FIELDS}


def testcase_object(datapoint: DatapointResponse | None) -> dict[str, Json] | None:
    """Return a datapoint as evaluators get it; None if the log was not generated for one."""
    if datapoint is None:
        return None
    fields: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(datapoint))
    return {name: fields.get(name) for name in ("id", "inputs", "messages", "target")}


def template_inputs(
    config: ModelConfig, log: Mapping[str, Json], testcase: Mapping[str, Json] | None
) -> dict[str, Json]:
    """Return the inputs for the template of an llm evaluator.

    Jinja templates get the objects ``log`` and ``testcase``, and the names that v4 had before them: ``log_output``,
    ``log_inputs``, ``log_messages``, ``log_prompt`` and ``log_error``. For v4's own language, which knows only names,
    these are the values of the names in the template, such as ``testcase.target.output``. A field that does not exist
    has the value None, which the template shows as an empty text.
    """
    objects: dict[str, Json] = {
        "log": dict(log),
        "testcase": None if testcase is None else dict(testcase),
        **{f"log_{name}": log.get(name) for name in ("output", "inputs", "messages", "error")},
        "log_prompt": _prompt(log),
    }
    if config.template_language == "jinja":
        return objects
    names = variables(config.prompt_template or "")
    return {name: _field(objects, name) for name in sorted(names) if name.partition(".")[0] in objects}


def _field(value: Json, path: str) -> Json:
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _prompt(log: Mapping[str, Json]) -> Json:
    """Return the filled prompt of a completion, as the provider got it."""
    match log.get("provider_request"):
        case {"prompt": prompt}:
            return cast("Json", prompt)
        case {"messages": [{"content": content}]} if log.get("messages") is None:
            return cast("Json", content)
        case _:
            return None
