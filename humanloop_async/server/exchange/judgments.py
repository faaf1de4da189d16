"""Import judgments: those of human evaluators as feedback, all others as evaluation results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import FeedbackClass, FeedbackLabelRequest, FeedbackValue, LabelSentiment
from ..storage.columns import replace_nul, utc_now
from ..storage.feedback_types import BUILT_IN, WITH_LABELS, add_feedback_type, add_labels
from ..storage.schema import evaluation_results, feedback, logs
from .evaluators import Evaluators
from .records import Judgment
from .report import Report
from .target import Target

MAX_LABELS = 100_000
"""Labels that are remembered, so that they are not inserted again with each batch."""

_CLASSES: Mapping[str, FeedbackClass] = {
    "select": "select",
    "boolean": "select",  # v4 has no class of booleans; the class `select` accepts them
    "multi_select": "multi_select",
    "number": "number",
}
_SENTIMENTS: Mapping[str | None, LabelSentiment] = {
    "positive": "positive",
    "negative": "negative",
    "neutral": "neutral",
}


class EvaluationStep(Struct, frozen=True):
    """The evaluation and the datapoint that a judgment is for."""

    evaluation_id: str
    datapoint_id: str | None


class PlacedJudgment(Struct):
    """A judgment, the log that it is about, its place in the export, and the evaluation that it belongs to."""

    judgment: Judgment
    log_id: str
    where: str
    step: EvaluationStep | None


class _New(Struct):
    """A judgment of the current batch. `kind` is feedback or results."""

    where: str
    log_id: str
    judgment: Judgment
    version_id: str | None
    step: EvaluationStep | None
    kind: str


class _Outcome(Struct):
    imported: dict[str, int] = {}
    present: dict[str, int] = {}
    skipped: list[tuple[str, str, str, str]] = field(default_factory=list[tuple[str, str, str, str]])
    labels: set[tuple[str, str, str]] = set()


class Judgments:
    """Imports judgments in batches, after the logs that they are about.

    Args:
        target: The database.
        report: Counts the records.
        evaluators: Finds the evaluators.
    """

    def __init__(self, target: Target, report: Report, evaluators: Evaluators) -> None:
        self._target, self._report, self._evaluators = target, report, evaluators
        self._batch: list[PlacedJudgment] = []
        self._labels: set[tuple[str, str, str]] = set()  # that exist: project, kind and value

    def add(self, judgment: Judgment, log_id: str, where: str, step: EvaluationStep | None = None) -> None:
        """Add a judgment, which `take` returns. See `PlacedJudgment`."""
        self._batch.append(PlacedJudgment(judgment, log_id, where, step))

    def take(self) -> list[PlacedJudgment]:
        """Return the judgments that were added since the last call."""
        batch, self._batch = self._batch, []
        return batch

    async def store(self, batch: Sequence[PlacedJudgment]) -> None:
        """Store judgments on logs that are stored."""
        new: list[_New] = []
        for placed in batch:
            judgment, where, step = placed.judgment, placed.where, placed.step
            kind = "feedback" if step is None and judgment.evaluator.spec.evaluator_type == "human" else "results"
            self._report.found(kind)
            version_id = await self._evaluators.version(judgment.evaluator, where) if kind == "results" else None
            if kind == "results" and version_id is None:
                self._report.skip(kind, where, "its evaluator was not imported", judgment.evaluator.id)
            elif judgment.judgment is None and (kind == "feedback" or judgment.error is None):
                self._report.skip(kind, where, "the judgment has no value", judgment.id)
            else:
                new.append(_New(where, placed.log_id, judgment, version_id, step, kind))
        if not new:
            return
        outcome = await self._target.run(lambda connection: self._store(connection, new))
        for kind, number in outcome.imported.items():
            self._report.imported(kind, number)
        for kind, number in outcome.present.items():
            self._report.present(kind, number)
        for kind, where, reason, detail in outcome.skipped:
            self._report.skip(kind, where, reason, detail)
        if len(self._labels) > MAX_LABELS:
            self._labels.clear()
        self._labels |= outcome.labels

    async def _store(self, connection: AsyncConnection, batch: Sequence[_New]) -> _Outcome:
        outcome = _Outcome()
        about = {new.log_id for new in batch}
        of_logs = await self._target.present(connection, logs.c.id, about, logs.c.project_id, logs.c.config_id)
        ids = [new.judgment.id for new in batch]
        stored = await self._target.present(connection, feedback.c.id, ids, feedback.c.log_id)
        stored |= await self._target.present(connection, evaluation_results.c.id, ids, evaluation_results.c.log_id)
        steps = await self._stored_steps(connection, batch)
        rows: dict[str, list[dict[str, Any]]] = {"feedback": [], "results": []}
        labels: dict[tuple[str, str], dict[str, LabelSentiment]] = {}
        classes: dict[tuple[str, str], FeedbackClass] = {}
        done: dict[str, str] = {}  # the logs of this batch's judgments
        for new in batch:
            id = new.judgment.id
            if new.log_id not in of_logs:
                outcome.skipped.append((new.kind, new.where, "its log was not imported", new.log_id))
            elif (row.log_id if (row := stored.get(id)) is not None else done.get(id, new.log_id)) != new.log_id:
                outcome.skipped.append((new.kind, new.where, "the id belongs to another log", id))
            elif id in stored or id in done:
                outcome.present[new.kind] = outcome.present.get(new.kind, 0) + 1
            elif new.kind == "results" and (key := _step_key(new)) is not None and key in steps:
                outcome.skipped.append((new.kind, new.where, "the evaluation has another result of this evaluator", id))
            else:
                done[id] = new.log_id
                outcome.imported[new.kind] = outcome.imported.get(new.kind, 0) + 1
                log = of_logs[new.log_id]
                if new.kind == "results":
                    steps |= {_step_key(new)}
                    rows["results"].append(_result(new))
                    continue
                values = _values(new.judgment)
                rows["feedback"] += _feedback(new, values, log.config_id if log is not None else None)
                if log is not None:
                    outcome.labels |= self._collect_labels(new.judgment, log.project_id, values, classes, labels)
        if not self._target.dry_run:
            for (project_id, kind), feedback_class in sorted(classes.items()):
                await add_feedback_type(connection, project_id, kind, feedback_class)
            for (project_id, kind), sentiments in sorted(labels.items()):
                wanted = [FeedbackLabelRequest(value=value, sentiment=sentiments[value]) for value in sentiments]
                await add_labels(connection, project_id, kind, wanted)
        await self._target.insert(connection, feedback, rows["feedback"])
        await self._target.insert(connection, evaluation_results, rows["results"])
        return outcome

    async def _stored_steps(self, connection: AsyncConnection, batch: Sequence[_New]) -> set[Any]:
        """Return the evaluation, datapoint and evaluator of all results of the batch's evaluations."""
        results = evaluation_results.c
        found: set[Any] = set()
        for evaluation_id in {new.step.evaluation_id for new in batch if new.step is not None}:
            points = {new.step.datapoint_id for new in batch if new.step and new.step.evaluation_id == evaluation_id}
            query = select(results.datapoint_id, results.evaluator_id).where(
                results.evaluation_id == evaluation_id, results.datapoint_id.in_(points - {None})
            )
            found |= {(evaluation_id, row.datapoint_id, row.evaluator_id) for row in await connection.execute(query)}
        return found

    def _collect_labels(
        self,
        judgment: Judgment,
        project_id: str,
        values: Mapping[str, FeedbackValue | None],
        classes: dict[tuple[str, str], FeedbackClass],
        labels: dict[tuple[str, str], dict[str, LabelSentiment]],
    ) -> set[tuple[str, str, str]]:
        """Collect the type of a judgment and its labels, unless they are known to exist; return them."""
        kind = _kind(judgment)
        feedback_class = BUILT_IN.get(kind) or _CLASSES.get(judgment.evaluator.spec.return_type, "text")
        with_labels = feedback_class in WITH_LABELS
        new = {(project_id, kind, value) for value in (values if with_labels else ("",))} - self._labels
        if new:
            classes[project_id, kind] = feedback_class
        if new and with_labels:
            wanted = labels.setdefault((project_id, kind), {})
            for option in judgment.evaluator.spec.options or ():
                wanted.setdefault(replace_nul(option.name), _SENTIMENTS.get(option.valence, "unset"))
            for value in values:
                wanted.setdefault(value, "unset")
        return new


def _kind(judgment: Judgment) -> str:
    return judgment.evaluator.name or judgment.evaluator.path.rpartition("/")[2]


def _values(judgment: Judgment) -> dict[str, FeedbackValue | None]:
    """Return the values of a judgment as texts, each with the original if that is a number or a boolean."""
    match judgment.judgment:
        case list(texts):
            return dict.fromkeys(replace_nul(text) for text in texts)
        case str(text):
            return {replace_nul(text): None}
        case float(number) if number.is_integer():
            return {msgspec.json.encode(int(number)).decode(): number}
        case number:
            return {msgspec.json.encode(number).decode(): number}


def _feedback(new: _New, values: Mapping[str, FeedbackValue | None], config_id: str | None) -> list[dict[str, Any]]:
    judgment = new.judgment
    created_at = judgment.created_at or utc_now()
    return [
        {
            "id": judgment.id if number == 0 else f"{judgment.id}_{number}",
            "log_id": new.log_id,
            "config_id": config_id,
            "type": _kind(judgment),
            "value": text,
            "typed_value": typed,
            "user": judgment.user,
            "created_at": created_at,
        }
        for number, (text, typed) in enumerate(values.items())
    ]


def _step_key(new: _New) -> tuple[str, str, str] | None:
    if new.step is None or new.step.datapoint_id is None:
        return None
    return new.step.evaluation_id, new.step.datapoint_id, new.judgment.evaluator.id


def _result(new: _New) -> dict[str, Any]:
    judgment = new.judgment
    created_at = judgment.created_at or utc_now()
    return {
        "id": judgment.id,
        "evaluation_id": new.step.evaluation_id if new.step else None,
        "datapoint_id": new.step.datapoint_id if new.step else None,
        "log_id": new.log_id,
        "evaluator_id": judgment.evaluator.id,
        "version_id": new.version_id,
        "status": "complete",
        "owner": None,
        "value": judgment.judgment,
        "error": judgment.error,
        "evaluator_log_id": None,
        "created_at": created_at,
        "updated_at": created_at,
    }
