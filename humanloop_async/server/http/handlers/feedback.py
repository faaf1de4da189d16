"""``/feedback``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ....types import FeedbackRequest, FeedbackResponse
from ....wire.operations import logs as ops
from ...errors import ApiError, BodyPath, InvalidRequest, error_location
from ...records.feedback import record_feedback
from ...storage.feedback import lock_logs
from ..routing import ApiCall, Handler


async def give_feedback(call: ApiCall) -> FeedbackResponse | list[FeedbackResponse]:
    requests = cast("Mapping[BodyPath, FeedbackRequest]", call.items)
    log_ids: dict[str, BodyPath] = {}
    for loc, request in requests.items():
        if request.data_id is None:
            raise InvalidRequest.at(*loc, "data_id", msg="field required", kind="value_error.missing")
        log_ids.setdefault(request.data_id, loc)
    async with call.service.database.write() as connection:
        origins = await lock_logs(connection, log_ids)
        for log_id, loc in log_ids.items():
            with error_location(loc):
                if log_id not in origins:
                    raise ApiError(404, f"there is no log {log_id!r:.80}")
        answers = await record_feedback(connection, origins, requests)
    return answers if isinstance(call.body, list) else answers[0]


HANDLERS: Mapping[str, Handler] = {ops.FEEDBACK.id: give_feedback}
