"""Measure how fast an export folder is imported, and how much memory that takes.

The program writes a folder in the layout of Humanloop's export tool, unless it exists, and runs
``humanloop-async import`` on it. It prints the rate, and the memory of the process at the start, in the middle and at
the end::

    python -m benchmarks.bench_import --logs 1000000
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2025, 1, 1)
WORDS = ("the", "model", "answered", "a", "question", "about", "boats", "cities", "rivers", "music", "bread", "winter")
VERSIONS = 5
LOGS_PER_FILE = 1000
RATED = 0.05  # of the logs
TRACED = 0.1  # of the logs: they have a parent, which is older and so comes later
SAMPLE_EVERY = 0.25  # seconds between two looks at the memory


def write_export(folder: Path, logs: int) -> None:
    """Write an export with one prompt that has this number of logs."""
    chance = random.Random(1)
    file = folder / "files" / _id(chance, "pr")
    versions = [_version(file.name, number, _id(chance, "prv")) for number in range(VERSIONS)]
    evaluator = _evaluator(_id(chance, "ev"), _id(chance, "evv"))
    (file / "versions").mkdir(parents=True)
    (file / "logs").mkdir()
    (file / "file.json").write_text(json.dumps(versions[-1]))
    for version in versions:
        (file / "versions" / version["version_id"]).write_text(json.dumps(version))
    (file / "deployments.json").write_text("[]")
    for start in range(0, logs, LOGS_PER_FILE):
        with (file / "logs" / f"{start // LOGS_PER_FILE + 1}.jsonl").open("w") as lines:
            for number in range(start, min(start + LOGS_PER_FILE, logs)):
                record = _log(chance, chance.choice(versions), evaluator, logs - number)
                lines.write(json.dumps(record) + "\n")
    (file / ".done").write_text("Export completed successfully.\n")


def _id(chance: random.Random, prefix: str) -> str:
    return f"{prefix}_{chance.getrandbits(104):021x}"[:24]


def _head(path: str, id: str, version_id: str, type: str) -> dict[str, Any]:
    return {
        "path": path,
        "id": id,
        "name": path.rpartition("/")[2],
        "version_id": version_id,
        "type": type,
        "environments": [],
        "created_at": "2025-01-01T00:00:00",
        "updated_at": "2025-01-01T00:00:00",
        "last_used_at": "2025-01-01T00:00:00",
        "version_logs_count": 0,
        "total_logs_count": 0,
        "inputs": [],
        "evaluators": [],
        "evaluator_aggregates": [],
        "attributes": {},
    }


def _version(file_id: str, number: int, version_id: str) -> dict[str, Any]:
    return _head("Bench/Writer", file_id, version_id, "prompt") | {
        "model": "gpt-4o",
        "provider": "openai",
        "endpoint": "chat",
        "template": [{"role": "system", "content": f"Answer briefly, version {number}. {' '.join(WORDS)}"}],
        "temperature": 0.5,
        "max_tokens": 100 + number,
        "tools": [],
        "linked_tools": [],
    }


def _evaluator(id: str, version_id: str) -> dict[str, Any]:
    options = [{"name": "good", "valence": "positive"}, {"name": "bad", "valence": "negative"}]
    spec = {"evaluator_type": "human", "return_type": "select", "arguments_type": "target_free", "options": options}
    return _head("Bench/rating", id, version_id, "evaluator") | {"spec": spec}


def _log(chance: random.Random, version: dict[str, Any], evaluator: dict[str, Any], number: int) -> dict[str, Any]:
    words = " ".join(chance.choices(WORDS, k=60))
    time = (START + timedelta(seconds=number)).isoformat()
    id = f"log_{number * 2654435761 % 2**40:021d}"  # in no order, like real ids
    parent = f"log_{(number - 1) * 2654435761 % 2**40:021d}" if number > 1 and chance.random() < TRACED else None
    rating = {
        "id": f"log_r{id.removeprefix('log_')}",
        "evaluator": evaluator,
        "judgment": chance.choice(("good", "bad")),
        "created_at": time,
        "evaluator_logs": [],
        "parent_id": id,
    }
    return {
        "id": id,
        "prompt": version,
        "inputs": {"question": words[:100], "name": "Ada \u00e9"},
        "messages": [{"role": "user", "content": words[:200]}],
        "output": words[100:],
        "output_message": {"role": "assistant", "content": words[100:]},
        "prompt_tokens": 50,
        "output_tokens": 60,
        "prompt_cost": 0.0001,
        "output_cost": 0.0003,
        "finish_reason": "stop",
        "start_time": time,
        "end_time": time,
        "created_at": time,
        "error": None,
        "provider_latency": 0.8,
        "provider_request": {"model": "gpt-4o", "messages": [{"role": "user", "content": words[:200]}]},
        "provider_response": {"id": "x", "choices": [{"message": {"content": words[100:]}}]},
        "source": "web",
        "metadata": {"number": number},
        "user": f"user-{number % 100}",
        "environment": "production",
        "save": True,
        "evaluator_logs": [rating] if chance.random() < RATED else [],
        "trace_id": None,
        "trace_parent_id": parent,
        "trace_children": [],
    }


def run_import(folder: Path, database: str) -> Iterator[tuple[float, float]]:
    """Import a folder; yield seconds since the start and the memory in MiB, and print the summary."""
    command = [sys.executable, "-m", "humanloop_async", "import", str(folder), "--db", database]
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            time.sleep(SAMPLE_EVERY)
            for line in status.read_text().splitlines() if status.exists() else ():
                if line.startswith("VmRSS"):
                    yield time.monotonic() - started, int(line.split()[1]) / 1024
    if process.returncode:
        sys.exit(process.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=100_000, help="number of logs (default: 100000)")
    parser.add_argument("--folder", type=Path, help="folder of the export, which is kept (default: a temporary one)")
    parser.add_argument("--db", help="path or URL of the database (default: a temporary SQLite file)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "export"
        if not folder.exists():
            write_export(folder, arguments.logs)
        samples = [*run_import(folder, arguments.db or str(Path(temporary) / "import.db"))]
    seconds, _ = samples[-1]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (used.ru_utime + used.ru_stime) / arguments.logs
    print(f"{arguments.logs / seconds:.0f} logs/s ({seconds:.1f} s), {processor * 1e6:.0f} us of CPU time per log")
    tenth = len(samples) // 10
    for name, index in {"start": tenth, "middle": len(samples) // 2, "end": len(samples) - 1 - tenth // 2}.items():
        at, memory = samples[index]
        print(f"{name:6} {at:7.1f} s  {memory:6.1f} MiB")


if __name__ == "__main__":
    main()
