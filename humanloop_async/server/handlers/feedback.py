"""``/feedback``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...types import FeedbackRequest, FeedbackResponse
from ...wire.operations import logs as ops
from ..feedback import record_feedback
from ..refusals import InvalidRequest, Refusal
from ..routing import ApiCall, Handler
from ..storage.feedback import lock_logs


async def give_feedback(call: ApiCall) -> FeedbackResponse | list[FeedbackResponse]:
    requests = cast("list[FeedbackRequest]", call.body if isinstance(call.body, list) else [call.body])
    for request in requests:
        if request.data_id is None:
            raise InvalidRequest.at("data_id", msg="field required", kind="value_error.missing")
    log_ids = {request.data_id for request in requests if request.data_id is not None}
    async with call.service.database.write() as connection:
        origins = await lock_logs(connection, log_ids)
        if missing := log_ids - origins.keys():
            raise Refusal(404, f"there is no log {min(missing)!r:.80}")
        answers = await record_feedback(connection, origins, requests)
    return answers if isinstance(call.body, list) else answers[0]


HANDLERS: Mapping[str, Handler] = {ops.FEEDBACK.id: give_feedback}
