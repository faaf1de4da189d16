"""Fine-tunes, which the server responds to with an error that names the alternative."""

from __future__ import annotations

from types import NoneType

from ... import types as t
from .operation import Operation, rows

_DETAILS = (
    "This project's server responds with 501: fine-tune with the provider, and use the new model in a configuration."
)

LIST_FINETUNES = Operation(
    "Finetunes_listAllForProject",
    "GET",
    "/projects/{project_id}/finetunes",
    NoneType,
    t.ResponseList[t.FinetuneResponse],
    "List a project's fine-tunes.",
    _DETAILS,
)
CREATE_FINETUNE = Operation(
    "Finetunes_create",
    "POST",
    "/projects/{project_id}/finetunes",
    t.FinetuneRequest,
    t.FinetuneResponse,
    "Fine-tune a model with a dataset.",
    _DETAILS,
    creates=True,
)
SUMMARIZE_FINETUNE = Operation(
    "Finetunes_summary",
    "POST",
    "/projects/{project_id}/finetunes/summary",
    t.FinetuneRequest,
    t.FinetuneDataSummary,
    "Summarize the data of a fine-tune, without running it.",
    _DETAILS,
)
UPDATE_FINETUNE = Operation(
    "Finetunes_update",
    "PATCH",
    "/finetunes/{id}",
    t.UpdateFinetuneRequest,
    t.FinetuneResponse,
    "Rename a fine-tune.",
    _DETAILS,
    query=t.FinetuneQuery,
)

FINETUNE_OPERATIONS = rows(globals())
