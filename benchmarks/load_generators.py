r"""Compare the load generator of ``humanloop-async bench`` with AIPerf and GuideLLM, against the same null server.

Install each peer into a separate environment, and pass the paths of their programs::

    python -m venv benchmarks/.venvs/aiperf && benchmarks/.venvs/aiperf/bin/pip install aiperf
    python -m venv benchmarks/.venvs/guidellm && benchmarks/.venvs/guidellm/bin/pip install guidellm
    python -m benchmarks.load_generators --aiperf benchmarks/.venvs/aiperf/bin/aiperf \
        --guidellm benchmarks/.venvs/guidellm/bin/guidellm --tokenizer FOLDER

Both peers load a Hugging Face tokenizer, even if the server counts the tokens; `--tokenizer` is the folder of one, or
its name if there is a network. GuideLLM's environment has PyTorch and takes 5 GB.

Each program makes the same load: 64 concurrent streams of 100 tokens at 50 tokens per second. CPU is the user and
system time of the program and all of its processes, in a short and a long run: the difference, divided by the
difference of the tokens, is the cost of a token; the rest is the cost of starting and reporting. The rounds of the
programs take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from humanloop_async.bench.null_server import NullSchedule, in_process

STREAMS, TOKENS, PACE, TTFT = 64, 100, 50, 0.05
SHORT, LONG = 64, 384
"""Requests of the two runs."""

Figures = dict[str, float | None]


def main() -> None:
    """Run every program and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--aiperf", help="path of AIPerf's program")
    parser.add_argument("--guidellm", help="path of GuideLLM's program")
    parser.add_argument("--tokenizer", help="folder or name of a tokenizer for both")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    programs: dict[str, Callable[[str, int, Path], tuple[list[str], Callable[[], Figures]]]] = {"ours": ours}
    if options.aiperf:
        programs["aiperf"] = lambda url, requests, folder: aiperf(options, url, requests, folder)
    if options.guidellm:
        programs["guidellm"] = lambda url, requests, folder: guidellm(options, url, requests, folder)
    cpu: dict[str, list[float]] = {name: [] for name in programs}
    fixed: dict[str, list[float]] = {name: [] for name in programs}
    found: dict[str, list[Figures]] = {name: [] for name in programs}
    for number in range(options.rounds):
        for name, program in programs.items():
            short, _ = measure(program, SHORT)
            long, figures = measure(program, LONG)
            cpu[name].append((long - short) / ((LONG - SHORT) * TOKENS))
            fixed[name].append(short - cpu[name][-1] * SHORT * TOKENS)
            found[name].append(figures)
            print(f"round {number + 1}, {name}: {cpu[name][-1] * 1e6:.0f} us per token, {figures}", file=sys.stderr)
    print("| | CPU per token (us) | CPU of start and report (s) | TTFT p50 (ms) | ITL p50 (ms) | ITL p99 (ms) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    base = statistics.median(cpu["ours"])
    for name in programs:
        per_token = statistics.median(cpu[name])
        cells = [f"{per_token * 1e6:.0f} ({per_token / base:.1f}x)", f"{statistics.median(fixed[name]):.1f}"]
        for key in ("ttft_p50", "itl_p50", "itl_p99"):
            values = [value for figures in found[name] if (value := figures.get(key)) is not None]
            cells.append(f"{statistics.median(values):.1f}" if values else "-")
        print(f"| {name} | {' | '.join(cells)} |")


def measure(
    program: Callable[[str, int, Path], tuple[list[str], Callable[[], Figures]]], requests: int
) -> tuple[float, Figures]:
    """Return the CPU seconds of one run of a program, and the figures that it reports, in milliseconds."""
    schedule = NullSchedule(ttft=TTFT, itl=1 / PACE, tokens=TOKENS, precise=True)
    with in_process(schedule) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command, report = program(server.url("openai"), requests, folder)
        before = _children()
        environ = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
        with (folder / "output").open("wb") as output:
            done = subprocess.run(
                command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environ, check=False
            )
        spent = _children() - before
        try:
            return spent, report()
        except (OSError, ValueError, KeyError) as exc:
            text = (folder / "output").read_text(errors="replace")[-2000:]
            raise SystemExit(f"{command[0]} ended with {done.returncode} and no report ({exc!r}):\n{text}") from exc


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ours(url: str, requests: int, folder: Path) -> tuple[list[str], Callable[[], Figures]]:
    """Return the command of this package's bench."""
    command = [sys.executable, "-m", "humanloop_async", "bench", "--base-url", url, "-c", str(STREAMS)]
    command += ["--requests", str(requests), "--warmup", "0", "--max-tokens", str(TOKENS), "--json", "report.json"]

    def report() -> Figures:
        (run,) = json.loads((folder / "report.json").read_bytes())["runs"]
        values = {name: metric["distribution"]["percentiles"] for name, metric in run["metrics"].items()}
        check(run["outcomes"].get("ok"), requests)
        return {
            "ttft_p50": values["ttft"]["p50"] * 1000,
            "itl_p50": values["itl"]["p50"] * 1000,
            "itl_p99": values["itl"]["p99"] * 1000 if values["itl"]["p99"] else None,
        }

    return command, report


def aiperf(
    options: argparse.Namespace, url: str, requests: int, folder: Path
) -> tuple[list[str], Callable[[], Figures]]:
    """Return the command of AIPerf."""
    command = [options.aiperf, "profile", "--model", "null-model", "--url", url.removesuffix("/v1")]
    command += ["--endpoint-type", "chat", "--streaming", "--concurrency", str(STREAMS), "--ui", "none"]
    command += ["--request-count", str(requests), "--tokenizer", options.tokenizer, "--use-server-token-count"]
    command += ["--isl", "20", "--osl", str(TOKENS)]

    def report() -> Figures:
        (path,) = folder.rglob("profile_export_aiperf.json")
        found: dict[str, Any] = json.loads(path.read_bytes())
        check(found["request_count"]["avg"], requests)
        # Its inter-token latency is a mean per request; the gaps between chunks have another name.
        return {
            "ttft_p50": found["time_to_first_token"]["p50"],
            "itl_p50": found["inter_chunk_latency"]["p50"] if "inter_chunk_latency" in found else None,
            "itl_p99": found["inter_chunk_latency"]["p99"] if "inter_chunk_latency" in found else None,
        }

    return command, report


def guidellm(
    options: argparse.Namespace, url: str, requests: int, folder: Path
) -> tuple[list[str], Callable[[], Figures]]:
    """Return the command of GuideLLM."""
    command = [options.guidellm, "run", "--disable-console"]
    command += [
        "--backend",
        f"kind=openai_http,target={url.removesuffix('/v1')},model=null-model,validate_backend=false",
    ]
    command += ["--profile", f"kind=concurrent,streams={STREAMS}"]
    command += ["--constraint", f"kind=max_requests,count={requests}"]
    command += ["--tokenizer", f"kind=hf_auto,model={options.tokenizer}"]
    command += ["--data", f"kind=synthetic_text,prompt_tokens=20,output_tokens={TOKENS}"]
    command += ["--output", "kind=json,path=report.json"]

    def report() -> Figures:
        (run,) = json.loads((folder / "report.json").read_bytes())["benchmarks"]
        metrics = run["metrics"]
        check(metrics["request_totals"]["successful"], requests)
        # Its inter-token latency is a mean per request.
        return {"ttft_p50": metrics["time_to_first_token_ms"]["successful"]["percentiles"]["p50"]}

    return command, report


def check(complete: float | None, requests: int) -> None:
    """Raise `ValueError` unless all requests were complete."""
    if complete != requests:
        raise ValueError(f"{complete} of {requests} requests were complete")


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
