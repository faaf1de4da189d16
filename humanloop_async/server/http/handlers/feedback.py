"""``/feedback``."""

from __future__ import annotations

from .... import types as t
from ....wire.operations import logs as ops
from ...errors import ApiError, BodyPath, InvalidRequest, error_location
from ...records.feedback import record_feedback
from ...storage.feedback import lock_logs
from ..calls import ApiCall, Batch, handles_batch


@handles_batch(ops.FEEDBACK)
async def give_feedback(call: ApiCall[Batch[t.FeedbackRequest], None]) -> list[t.FeedbackResponse]:
    log_ids: dict[str, BodyPath] = {}
    for loc, request in call.body.items():
        if request.data_id is None:
            raise InvalidRequest.at(*loc, "data_id", msg="field required", kind="value_error.missing")
        log_ids.setdefault(request.data_id, loc)
    async with call.service.database.write() as connection:
        origins = await lock_logs(connection, log_ids)
        for log_id, loc in log_ids.items():
            with error_location(loc):
                if log_id not in origins:
                    raise ApiError(404, f"there is no log {log_id!r:.80}")
        return await record_feedback(connection, origins, call.body)
