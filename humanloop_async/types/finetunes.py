"""``/finetunes``: models that are fine-tuned with a dataset."""

from __future__ import annotations

from .datasets import DatasetResponse
from .shared import ApiObject, DateTime, Json, ProviderApiKeys, Response


class FinetuneConfig(ApiObject, kw_only=True):
    """What to fine-tune, and how.

    Attributes:
        base_model: Name of the model to fine-tune.
        parameters: The provider's parameters of the fine-tune.
        provider: Name of the provider.
    """

    base_model: str
    parameters: dict[str, Json] | None = None
    provider: str | None = "openai"


class FinetuneRequest(ApiObject, kw_only=True):
    """``POST /projects/{project_id}/finetunes``, and its ``/summary``.

    Attributes:
        name: Name of the fine-tune.
        dataset_id: Id of the dataset to fine-tune with.
        config: The model to fine-tune.
        metadata: Any further fields to store.
        provider_api_keys: Keys of the providers.
    """

    name: str
    dataset_id: str
    config: FinetuneConfig
    metadata: dict[str, Json] | None = None
    provider_api_keys: ProviderApiKeys | None = None


class UpdateFinetuneRequest(ApiObject, kw_only=True):
    """``PATCH /finetunes/{id}``. Absent fields stay unchanged.

    Attributes:
        name: New name of the fine-tune.
    """

    name: str | None = None


class FinetuneQuery(ApiObject, kw_only=True):
    """Query of ``PATCH /finetunes/{id}``.

    Attributes:
        project_id: Id of the project of the fine-tune.
    """

    project_id: str


class FinetuneResponse(Response, kw_only=True):
    """A fine-tune.

    Attributes:
        status: v4's status of the fine-tune; the HTTP status that other responses have here is not available.
    """

    id: str
    name: str
    status: str  # type: ignore[assignment]  # hides the HTTP status
    config: FinetuneConfig
    dataset: DatasetResponse
    created_at: DateTime
    updated_at: DateTime
    model_name: str | None = None
    metadata: dict[str, Json] | None = None
    provider_id: str | None = None
    provider_details: dict[str, Json] | None = None
    data_summary: dict[str, Json] | None = None


class FinetuneDataSummary(Response, kw_only=True):
    """Figures of the data of a fine-tune."""

    data_count: int
    error_count: int
    truncated_data_count: int
    token_count: int
    truncated_token_count: int
    cost: float
    errors: list[Json]
    dataset_name: str
    dataset_id: str
