"""Export folders in the layout of Humanloop's export tool, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]

ENVIRONMENTS = {"production": "env_production", "staging": "env_staging"}
HEAD: Record = {
    "directory_id": "dir_1",
    "description": None,
    "readme": None,
    "tags": [],
    "environments": [],
    "created_at": "2024-11-04T09:30:00",
    "updated_at": "2024-11-04T09:31:00",
    "created_by": {"id": "usr_1", "email_address": "someone@example.com", "full_name": "Some One"},
    "last_used_at": "2024-11-10T15:30:00",
    "version_logs_count": 0,
    "total_logs_count": 0,
    "inputs": [],
    "evaluators": [],
    "evaluator_aggregates": [],
    "attributes": {},
    "a_field_of_a_later_version": {"any": ["value"]},
}


def version(type: str, id: str, path: str, version_id: str, **fields: Any) -> Record:
    """Return a version of a file."""
    name = path.rpartition("/")[2]
    return {**HEAD, "type": type, "id": id, "path": path, "name": name, "version_id": version_id} | fields


def prompt(id: str, path: str, version_id: str, **fields: Any) -> Record:
    """Return a version of a prompt for completions with provider mock."""
    defaults: Record = {
        "provider": "mock",
        "model": "words",
        "endpoint": "complete",
        "template": "Greet {{name}}.",
        "template_language": "default",
        "max_tokens": 5,
        "temperature": 0.7,
        "top_p": 1.0,
        "stop": None,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "other": {},
        "seed": None,
        "response_format": None,
        "reasoning_effort": None,
        "tools": [],
        "linked_tools": [],
        "raw_file_content": None,
    }
    return version("prompt", id, path, version_id, **defaults | fields)


def evaluator(id: str, path: str, version_id: str, kind: str, return_type: str, **spec: Any) -> Record:
    """Return a version of an evaluator."""
    fixed = {"evaluator_type": kind, "return_type": return_type, "arguments_type": "target_free"}
    return version("evaluator", id, path, version_id, spec=fixed | spec)


def log(id: str, owner: Record, **fields: Any) -> Record:
    """Return a log of a version."""
    return {
        "id": id,
        owner["type"]: owner,
        "inputs": {"name": "Ada"},
        "messages": None,
        "output": "Hello, Ada.",
        "output_message": None,
        "prompt_tokens": 20,
        "output_tokens": 10,
        "reasoning_tokens": 0,
        "prompt_cost": 0.0001,
        "output_cost": 0.0003,
        "finish_reason": "stop",
        "start_time": "2024-11-04T09:40:00",
        "end_time": "2024-11-04T09:40:30",
        "created_at": "2024-11-04T09:40:00",
        "error": None,
        "provider_latency": 0.8,
        "provider_request": {"model": "words"},
        "provider_response": {"id": "x"},
        "source": "web",
        "metadata": {"n": 1},
        "log_status": "complete",
        "source_datapoint_id": None,
        "trace_parent_id": None,
        "batches": [],
        "user": "user-1",
        "environment": "production",
        "save": True,
        "evaluator_logs": [],
        "trace_flow_id": None,
        "trace_id": None,
        "trace_children": [],
    } | fields


def judgment(id: str, evaluator: Record, log_id: str, value: Any, **fields: Any) -> Record:
    """Return the judgment of an evaluator."""
    return {
        "id": id,
        "evaluator": evaluator,
        "judgment": value,
        "created_at": "2024-11-04T09:45:00",
        "evaluator_logs": [],
        "parent_id": log_id,
        "log_status": "complete",
    } | fields


class Export:
    """An export folder that a test writes.

    Args:
        root: The folder, which is created.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "files").mkdir(parents=True)
        (root / "export.log").write_text("2025-08-30 10:15:00.000 | INFO | Exporting files\n")

    def file(self, versions: Sequence[Record], deployed: Iterable[tuple[str, str]] = (), *, done: bool = True) -> Path:
        """Write a file with its versions, oldest first, and deployments, each a version and an environment."""
        folder = self.root / "files" / str(versions[-1]["id"])
        (folder / "versions").mkdir(parents=True)
        write(folder / "file.json", versions[-1])
        for record in versions:
            write(folder / "versions" / record["version_id"], record)
        entries = [
            {
                "version_id": version_id,
                "environment_id": ENVIRONMENTS[name],
                "environment_name": name,
                "environment_tag": "default" if name == "production" else "other",
            }
            for version_id, name in deployed
        ]
        write(folder / "deployments.json", entries)
        if done:
            (folder / ".done").write_text("Export completed successfully.\n")
        return folder

    def logs(self, id: str, *pages: Iterable[Record], folder: str = "logs") -> Path:
        """Write the logs of a file, or other lines; return the folder."""
        return write_pages(self.root / "files" / id / folder, *pages)


def write(path: Path, record: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def write_pages(folder: Path, *pages: Iterable[Record]) -> Path:
    """Write JSON lines files with the names that the export tool gives them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(pages, 1):
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in page))
    return folder


RATING = evaluator(
    "ev_rating",
    "Support/rating",
    "evv_rating",
    "human",
    "select",
    options=[{"name": "good", "valence": "positive"}, {"name": "bad", "valence": "negative"}],
)
TOPICS = evaluator(
    "ev_topics",
    "Support/topics",
    "evv_topics",
    "human",
    "multi_select",
    options=[{"name": "billing", "valence": None}, {"name": "angry", "valence": "negative"}],
)
SHORT = evaluator("ev_short", "Support/is_short", "evv_short", "python", "boolean", code="def f(log): return True")
SIMILAR = evaluator("ev_similar", "Support/similar", "evv_similar", "external", "number")
POLITE = evaluator(
    "ev_polite",
    "Support/polite",
    "evv_polite",
    "llm",
    "boolean",
    prompt={"model": "gpt-4o", "endpoint": "complete", "template": "Polite? {{log.output}}", "provider": "openai"},
)

GREETER = [
    prompt("pr_greeter", "Support/Greeter", "prv_1", version_name="v1", created_at="2024-11-04T09:30:00"),
    prompt(
        "pr_greeter",
        "Support/Greeter",
        "prv_2",
        version_name="v2",
        version_description="warmer",
        temperature=0.9,
        stop=["END", "\n"],
        created_at="2024-11-04T09:31:00",
    ),
    prompt("pr_greeter", "Support/Greeter", "prv_3", temperature=0.7, created_at="2024-11-04T09:32:00"),
]
"""Three versions; the third one has the parameters of the first."""

CHATTER = [
    prompt(
        "pr_chatter",
        "Support/Chatter",
        "prv_chat",
        endpoint="chat",
        template=[{"role": "developer", "content": "Greet {{name}}."}],
        tools=[{"name": "get_weather", "description": "Weather", "strict": None, "parameters": {"type": "object"}}],
        linked_tools=[
            {
                "id": "tl_hours",
                "version_id": "tv_hours",
                "name": "hours",
                "description": "Office hours",
                "parameters": {"type": "object", "properties": {}},
            }
        ],
        response_format={"type": "json_object"},
        reasoning_effort=2000,
        readme="# Chatter",
        tags=["old", "chat"],
    )
]
FLOW = version("flow", "fl_pipeline", "Support/Pipeline", "flv_1", attributes={"step": "all"})
AGENT = prompt("ag_helper", "Support/Helper", "agv_1") | {
    "type": "agent",
    "endpoint": "chat",
    "template": [{"role": "system", "content": "Help."}],
    "tools": [{"type": "file", "link": {"file_id": "tl_hours"}}],
    "max_iterations": 3,
    "status": "committed",
}
HOURS = version(
    "tool",
    "tl_hours",
    "Tools/hours",
    "tv_hours",
    tool_type="snippet",
    setup_values={"monday": "9-5"},
    signature="hours(day)",
    function=None,
    source_code=None,
)
WEATHER = version(
    "tool",
    "tl_weather",
    "Tools/get_weather",
    "tv_weather",
    tool_type="json_schema",
    function={"name": "get_weather", "description": "Weather", "strict": False, "parameters": {"type": "object"}},
)
QUESTIONS = [
    version(
        "dataset", "ds_questions", "Support/Questions", "dsv_1", created_at="2024-11-04T09:30:00", datapoints_count=2
    ),
    version(
        "dataset", "ds_questions", "Support/Questions", "dsv_2", created_at="2024-11-04T09:31:00", datapoints_count=3
    ),
    version(
        "dataset", "ds_questions", "Support/Questions", "dsv_3", created_at="2024-11-04T09:32:00", datapoints_count=2
    ),
]


def datapoint(id: str, question: str) -> Record:
    return {"id": id, "inputs": {"question": question}, "messages": [], "target": {"output": f"Answer to {question}"}}


def full_export(root: Path) -> Export:
    """Write an export with every kind of record."""
    export = Export(root)
    export.file(GREETER, [("prv_1", "staging"), ("prv_2", "production"), ("prv_2", "production")])
    child = log(
        "log_child",
        GREETER[1],
        trace_flow_id="fl_pipeline",
        trace_id="log_flow",
        trace_parent_id="log_flow",
        created_at="2024-11-04T10:00:05",
    )
    rated = log(
        "log_rated",
        GREETER[0],
        evaluator_logs=[
            judgment("log_j1", RATING, "log_rated", "good", user="reviewer"),
            judgment("log_j2", TOPICS, "log_rated", ["billing", "shipping"]),
            judgment("log_j3", SHORT, "log_rated", True),
        ],
    )
    failed = log("log_failed", GREETER[1], output=None, error="RateLimit: try again", end_time=None)
    unicode = log(
        "log_unicode", GREETER[1], output="Grüße \u0000 漢字 😀", inputs={"name": "Ä", "n": 1.5, "deep": [{}]}
    )
    export.logs("pr_greeter", [child, rated], [failed, unicode, log("log_other", GREETER[2], save=False, inputs=None)])
    export.file(CHATTER, [("prv_chat", "production")])
    messages = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    reply = {"role": "assistant", "content": "Hello"}
    export.logs(
        "pr_chatter",
        [
            log("log_chat", CHATTER[0], messages=messages, output="Hello", output_message=reply, tool_choice="auto"),
            log(
                "log_tools",
                CHATTER[0],
                messages=messages,
                output="",
                output_message={
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
                    ],
                },
                tool_choice={"type": "function", "function": {"name": "get_weather"}},
                reasoning_tokens=7,
                finish_reason="tool_calls",
            ),
        ],
    )
    export.file([FLOW])
    export.logs(
        "fl_pipeline",
        [log("log_flow", FLOW, trace_id="log_flow", trace_children=[child], created_at="2024-11-04T10:00:00")],
    )
    export.file([AGENT])
    export.logs("ag_helper", [log("log_agent", AGENT)])
    export.file([HOURS], [("tv_hours", "production")])
    export.logs("tl_hours", [log("log_tool", HOURS, trace_parent_id="log_chat")])
    export.file([WEATHER])
    for item in (RATING, TOPICS, SHORT, SIMILAR, POLITE):
        export.file([item])
    export.logs("ev_short", [judgment("log_j4", SHORT, "log_unicode", False)])
    export.file(QUESTIONS, [("dsv_3", "production")])
    first, second, third = datapoint("dp_1", "one"), datapoint("dp_2", "two"), datapoint("dp_3", "three")
    export.logs("ds_questions", [first, second], folder="datapoints/dsv_1")
    export.logs("ds_questions", [datapoint("dp_1", "1"), second], [third], folder="datapoints/dsv_2")
    export.logs("ds_questions", [datapoint("dp_1", "1"), third], folder="datapoints/dsv_3")
    _evaluation(export)
    return export


def _evaluation(export: Export) -> None:
    folder = export.root / "files/pr_greeter/evaluations/evr_1"
    evaluators = [
        {"version": item, "orchestrated": True, "added_at": "2024-11-04T11:10:00"} for item in (SHORT, SIMILAR)
    ]
    times = {"created_at": "2024-11-04T11:10:00", "updated_at": "2024-11-04T11:30:00", "created_by": None}
    write(
        folder / "evaluation.json",
        {"id": "evr_1", "runs_count": 2, "name": "Greeter", "evaluators": evaluators} | times,
    )
    write(folder / "stats.json", {"run_stats": [], "status": "completed", "progress": None, "report": None})
    for number, owner in enumerate(GREETER[:2], 1):
        run = {
            "id": f"run_{number}",
            "dataset": QUESTIONS[1],
            "version": owner,
            "orchestrated": True,
            "added_at": "2024-11-04T11:10:00",
            "created_at": f"2024-11-04T11:1{number}:00",
            "status": "completed",
            "control": True,
        }
        write(folder / "runs" / f"run_{number}", run)
    lines = [
        {
            "run_id": f"run_{run}",
            "datapoint": datapoint(f"dp_{point}", "?"),
            "log": log(f"log_e{run}{point}", GREETER[run - 1], source_datapoint_id=f"dp_{point}"),
            "evaluator_logs": [
                judgment(f"log_s{run}{point}", SHORT, f"log_e{run}{point}", True),
                judgment(f"log_d{run}{point}", SIMILAR, f"log_e{run}{point}", 0.4),
            ],
        }
        for run in (1, 2)
        for point in (1, 2)
    ]
    write_pages(folder / "logs", lines)
