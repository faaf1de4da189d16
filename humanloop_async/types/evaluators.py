"""``/evaluators``: programs, models and people that judge logs."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from .configs import EvaluatorArgumentsType, EvaluatorReturnType, EvaluatorType
from .shared import ApiObject, ModelConfigCompletionRequest

EvaluatorName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
EvaluatorText: TypeAlias = Annotated[str, Meta(max_length=255)]


class CreateEvaluatorRequest(ApiObject, kw_only=True):
    """``POST /evaluators``.

    Attributes:
        name: Name of the evaluator, 1 to 255 characters.
        description: Description of the evaluator, at most 255 characters.
        arguments_type: "target_free" for a judgment of the log alone, "target_required" for one that also needs the
            datapoint.
        return_type: Type of the judgment.
        type: "llm" and "python" evaluators run on the server; the results of "human" and "external" ones are sent. The
            default is for the 0.5 client, whose evaluators are code.
        code: Code of a "python" evaluator. The last function that it defines gets the log, and the datapoint if the
            arguments type is "target_required", as dicts, and returns the judgment.
        model_config: Model configuration of an "llm" evaluator. Its prompt template can use ``{{ log.output }}``,
            ``{{ log.inputs }}``, ``{{ testcase.target.output }}`` and any other field of the log and the datapoint.
    """

    name: EvaluatorName
    description: EvaluatorText
    arguments_type: EvaluatorArgumentsType
    return_type: EvaluatorReturnType
    type: EvaluatorType = "python"
    code: str | None = None
    model_config: ModelConfigCompletionRequest | None = None


class UpdateEvaluatorRequest(ApiObject, kw_only=True):
    """``PATCH /evaluators/{id}``. Absent fields stay unchanged.

    Attributes:
        name: New name of the evaluator, 1 to 255 characters.
        description: New description of the evaluator, at most 255 characters.
        arguments_type: New type of the arguments.
        return_type: New type of the judgment.
        code: New code of a "python" evaluator.
        model_config: New model configuration of an "llm" evaluator.
    """

    name: EvaluatorName | None = None
    description: EvaluatorText | None = None
    arguments_type: EvaluatorArgumentsType | None = None
    return_type: EvaluatorReturnType | None = None
    code: str | None = None
    model_config: ModelConfigCompletionRequest | None = None
