"""``/finetunes``, which this server does not have."""

from __future__ import annotations

from typing import Any, NoReturn

from ....wire.operations import finetunes as ops
from ...errors import ApiError
from ..calls import HANDLERS, ApiCall


async def not_implemented(call: ApiCall[Any, Any]) -> NoReturn:
    raise ApiError(
        501,
        "this server does not fine-tune models; fine-tune with the provider, for example with the datapoints of a "
        "dataset, and register a model config with the name of the new model",
    )


for operation in ops.FINETUNE_OPERATIONS:
    HANDLERS[operation.id] = not_implemented
