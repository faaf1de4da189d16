"""Check an export with the models of the official client 0.8: ``python v5_records.py FOLDER``.

It runs in the environment of that client, and prints the number of records and the first errors as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from humanloop.types import (
    AgentLogResponse,
    AgentResponse,
    DatapointResponse,
    DatasetResponse,
    EvaluationLogResponse,
    EvaluationResponse,
    EvaluationRunResponse,
    EvaluationStats,
    EvaluatorLogResponse,
    EvaluatorResponse,
    FlowLogResponse,
    FlowResponse,
    PromptLogResponse,
    PromptResponse,
    ToolLogResponse,
    ToolResponse,
)

FILES = {
    "prompt": (PromptResponse, PromptLogResponse),
    "tool": (ToolResponse, ToolLogResponse),
    "flow": (FlowResponse, FlowLogResponse),
    "agent": (AgentResponse, AgentLogResponse),
    "evaluator": (EvaluatorResponse, EvaluatorLogResponse),
    "dataset": (DatasetResponse, None),
}


def records(folder: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Yield the path, the model and the JSON of each record."""
    for file in sorted((folder / "files").iterdir()):
        head = json.loads((file / "file.json").read_text())
        version, log = FILES[head["type"]]
        yield file / "file.json", version, head
        for path in file.glob("versions/*"):
            yield path, version, json.loads(path.read_text())
        for pattern, model in {
            "logs/*.jsonl": log,
            "datapoints/*/*.jsonl": DatapointResponse,
            "evaluations/*/logs/*.jsonl": EvaluationLogResponse,
        }.items():
            for path in file.glob(pattern):
                for line in path.read_text().splitlines():
                    yield path, model, json.loads(line)
        for pattern, model in {
            "evaluations/*/evaluation.json": EvaluationResponse,
            "evaluations/*/stats.json": EvaluationStats,
            "evaluations/*/runs/*": EvaluationRunResponse,
        }.items():
            for path in file.glob(pattern):
                yield path, model, json.loads(path.read_text())


def main(folder: Path) -> None:
    counts: dict[str, int] = {}
    errors: list[str] = []
    for path, model, record in records(folder):
        counts[model.__name__] = counts.get(model.__name__, 0) + 1
        try:
            model.model_validate(record)
        except ValueError as exc:
            errors.append(f"{path}: {exc}")
    print(json.dumps({"counts": counts, "errors": errors[:10]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
