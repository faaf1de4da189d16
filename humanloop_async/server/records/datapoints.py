"""Make datapoints of requests and of logs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import ChatMessage, CreateDatapointRequest, Json
from ..errors import ApiError, BodyPath, InvalidRequest, error_location
from ..storage.datasets import NewDatapoint
from ..storage.log_reading import LogContent, contents_of_logs
from ..templates.template import as_text


async def new_datapoints(
    connection: AsyncConnection, requests: Mapping[BodyPath, CreateDatapointRequest], max_datapoints: int
) -> list[NewDatapoint]:
    """Return the contents of the requested datapoints, in the order of the requests.

    Raises:
        ApiError: A log does not exist (404), was stored without its contents, or there are too many (422).
    """
    log_ids = [id for request in requests.values() for id in request.log_ids or ()]
    number = len(log_ids) + sum(request.log_ids is None for request in requests.values())
    if number > max_datapoints:
        raise InvalidRequest.at(msg=f"has {number} datapoints; add at most {max_datapoints} at a time")
    logs = await contents_of_logs(connection, log_ids)
    created: list[NewDatapoint] = []
    for loc, request in requests.items():
        if request.log_ids is None:
            created.append(NewDatapoint(inputs=request.inputs, messages=request.messages, target=request.target))
            continue
        with error_location(loc):
            created += [_from_log(log_id, logs) for log_id in request.log_ids]
    return created


def _from_log(log_id: str, logs: Mapping[str, LogContent]) -> NewDatapoint:
    if (log := logs.get(log_id)) is None:
        raise ApiError(404, f"there is no log {log_id!r:.80}")
    if not log.save:
        raise ApiError(422, f"the log {log_id} was stored with `save: false`, so it has no contents to copy")
    target: dict[str, Json] | None = None if log.output is None else {"output": log.output}
    messages = None if log.messages is None else without_template(log.messages, log.chat_template or ())
    inputs = {name: as_text(value) for name, value in (log.inputs or {}).items()}
    return NewDatapoint(inputs=inputs, messages=messages, target=target, source_log_id=log_id)


def without_template(messages: Sequence[ChatMessage], template: Collection[ChatMessage]) -> list[ChatMessage]:
    """Return the messages that follow a filled chat template, or all if they do not start with it.

    A generation would put the template in front of them again.
    """
    number = len(template)
    if len(messages) >= number and all(map(_fills, messages, template)):
        return [*messages[number:]]
    return [*messages]


def _fills(message: ChatMessage, template: ChatMessage) -> bool:
    """Return whether a message can be a template with its variables replaced."""
    if message.role != template.role:
        return False
    source = msgspec.json.encode(template)
    return b"{{" in source or b"{%" in source or message == template
