"""The records of an export folder, in the shapes of Humanloop's v5 API, as far as an import reads them.

v5 added fields over time; unknown fields are ignored. In exports of this program, logs have the field `v4` with the
columns that v5 lacks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from ...types import ChatMessage, FeedbackValue, Json, ReasoningEffort, ResponseFormat, ToolChoiceValue

Id: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
"""An id. It is part of a path in the next export."""

VersionId: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,128}\Z")]
"""The id of a version, or an empty text."""

Count: TypeAlias = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
"""An integer that fits into a column."""

FileType: TypeAlias = Literal["prompt", "tool", "dataset", "evaluator", "flow", "agent"]


class Function(Struct, kw_only=True):
    """A function that a model may call."""

    name: str
    description: str | None = None
    strict: bool | None = None
    parameters: dict[str, Json] | None = None


class LinkedTool(Function, kw_only=True):
    """A function that is linked to a tool of the organisation."""

    id: Id
    version_id: str | None = None


class FileHead(Struct, kw_only=True):
    """The fields that every file and every version of it has."""

    id: Id
    path: str
    name: str | None = None
    type: FileType | None = None
    version_id: VersionId = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    directory_id: str | None = None


class Leftovers(Struct, kw_only=True):
    """Fields of a file or a version that v4 has no place for; an import counts them."""

    readme: str | None = None
    tags: list[Any] | None = None
    attributes: dict[str, Any] | None = None
    schema: Any = None
    raw_file_content: str | None = None
    evaluators: list[Any] | None = None


class Version(FileHead, kw_only=True):
    """A version of a prompt, tool, flow or agent: a configuration of v4."""

    version_name: str | None = None
    version_description: str | None = None
    description: str | None = None
    # Prompts and agents.
    model: str | None = None
    endpoint: Literal["complete", "chat", "edit"] | None = None
    template: str | list[ChatMessage] | None = None
    template_language: Literal["default", "jinja"] | None = None
    provider: str | None = None
    max_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    other: dict[str, Json] | None = None
    seed: int | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    tools: list[Any] | None = None
    linked_tools: list[LinkedTool] | None = None
    max_iterations: int | None = None
    # Tools.
    function: Function | None = None
    source_code: str | None = None
    setup_values: dict[str, Json] | None = None
    tool_type: str | None = None
    signature: str | None = None
    # Flows, and notes on the others.
    attributes: dict[str, Json] | None = None


class Deployment(Struct, kw_only=True):
    """A line of ``deployments.json``."""

    version_id: Id
    environment_name: Annotated[str, Meta(min_length=1, max_length=255)]
    environment_id: Id | None = None
    environment_tag: str | None = None


class Option(Struct, kw_only=True):
    """A label of a human evaluator."""

    name: str
    valence: str | None = None


class Spec(Struct, kw_only=True):
    """The definition of an evaluator."""

    evaluator_type: str
    return_type: str = "text"
    arguments_type: str = "target_free"
    options: list[Option] | None = None
    code: str | None = None
    prompt: dict[str, Json] | None = None


class EvaluatorVersion(FileHead, kw_only=True):
    """A version of an evaluator."""

    description: str | None = None
    spec: Spec


class Judgment(Struct, kw_only=True):
    """The judgment of an evaluator on a log."""

    id: Id
    evaluator: EvaluatorVersion
    judgment: FeedbackValue | None = None
    error: str | None = None
    user: str | None = None
    created_at: datetime | None = None
    parent_id: Id | None = None


class AddedEvaluator(Struct, kw_only=True):
    """An evaluator of an evaluation."""

    version: EvaluatorVersion
    added_at: datetime | None = None


class Evaluation(Struct, kw_only=True):
    """``evaluation.json``."""

    id: Id
    name: str | None = None
    evaluators: list[AddedEvaluator] = []
    created_at: datetime | None = None
    updated_at: datetime | None = None


class VersionRef(Struct, kw_only=True):
    """The file and the version that a log belongs to."""

    id: Id
    version_id: VersionId = ""
    created_at: datetime | None = None


class Run(Struct, kw_only=True):
    """A run of an evaluation: one version on one version of a dataset."""

    id: Id
    dataset: VersionRef | None = None
    version: VersionRef | None = None
    orchestrated: bool = True
    status: str = "completed"
    created_at: datetime | None = None


class LogColumns(Struct, kw_only=True):
    """Columns of a log that v5 lacks, and values that its types do not allow."""

    status: Literal["complete", "error", "cancelled", "interrupted"] | None = None
    config_id: Id | None = None
    content_id: Id | None = None
    session_id: Id | None = None
    reference_id: str | None = None
    request_id: str | None = None
    trial_id: Id | None = None
    raw_output: str | None = None
    reasoning: str | None = None
    provider_response: Json = None
    tool_choice: Json = None
    tools: Json = None
    judgment: Json = None
    duration: float | None = None
    updated_at: datetime | None = None


class Log(Struct, kw_only=True):
    """A log of a prompt, tool, flow or agent."""

    id: Id
    prompt: VersionRef | None = None
    tool: VersionRef | None = None
    flow: VersionRef | None = None
    agent: VersionRef | None = None
    inputs: dict[str, Json] | None = None
    messages: list[ChatMessage] | None = None
    output: str | None = None
    output_message: ChatMessage | None = None
    prompt_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_tokens: int | None = None
    prompt_cost: float | None = None
    output_cost: float | None = None
    finish_reason: str | None = None
    tool_choice: ToolChoiceValue | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    created_at: datetime | None = None
    error: str | None = None
    provider_latency: float | None = None
    stdout: str | None = None
    provider_request: dict[str, Json] | None = None
    provider_response: dict[str, Json] | None = None
    source: str | None = None
    metadata: dict[str, Json] | None = None
    source_datapoint_id: str | None = None
    user: str | None = None
    environment: str | None = None
    save: bool | None = None
    batches: list[Any] | None = None
    evaluator_logs: list[Judgment] | None = None
    trace_id: Id | None = None
    trace_parent_id: Id | None = None
    trace_children: list[msgspec.Raw] | None = None
    v4: LogColumns | None = None

    @property
    def owner(self) -> VersionRef | None:
        """The file and version that the log belongs to."""
        return self.prompt or self.flow or self.tool or self.agent


class Owners(Struct, kw_only=True):
    """The whole version in a log, for a version without a file in the export."""

    prompt: Version | None = None
    tool: Version | None = None
    flow: Version | None = None
    agent: Version | None = None

    @property
    def owner(self) -> Version | None:
        """The version that the log belongs to."""
        return self.prompt or self.flow or self.tool or self.agent


class Dataset(FileHead, kw_only=True):
    """A version of a dataset."""

    description: str | None = None
    version_name: str | None = None


class Datapoint(Struct, kw_only=True):
    """A datapoint of one version of a dataset."""

    id: Id
    inputs: dict[str, str] | None = None
    messages: list[ChatMessage] | None = None
    target: dict[str, Json] | None = None


class DatapointRef(Struct, kw_only=True):
    """The datapoint of a log in an evaluation."""

    id: Id


class EvaluationLog(Struct, kw_only=True):
    """A log of an evaluation, and the judgments of its evaluators."""

    run_id: Id
    datapoint: DatapointRef | None = None
    log: msgspec.Raw
    evaluator_logs: list[Judgment] = []
