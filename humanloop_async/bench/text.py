"""Reports as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from .report import MetricReport, Report, RunReport
from .statistics import samples_needed

_CLOSED_NOTE = (
    "Closed load: the server sets the rate. While it stalls, no request is sent, so these figures do not show how\n"
    "long requests at a constant rate would have waited. Use --rate for that."
)
COOLDOWN_NOTE = (
    "Cool-down: the end of a closed load, when fewer streams run than its concurrency. Rates per second leave it out;\n"
    "latencies do not: leaving out the requests that end last would leave out the slow ones."
)
_SHOWN = ("p50", "p90", "p95", "p99", "p99.9")


def report_text(report: Report) -> str:
    """Return the tables of a report, the definitions of its metrics and the verdicts."""
    settings = report.settings
    model = settings["model"] if settings["provider"] is None else f"{settings['model']} ({settings['provider']})"
    lines = [
        f"{settings['base_url']}, API {settings['api']}, model {model}",
        f"prompts: {settings['prompts']}"
        + (", each with a unique beginning" if settings["unique_prompts"] else ", prefixes may be cached"),
    ]
    for run in report.runs:
        lines += ["", *run_lines(run)]
    lines += ["", *definition_lines(report.runs)]
    if any(run.cooldown_requests for run in report.runs):
        lines += ["", COOLDOWN_NOTE]
    if any(run.load.shape == "closed" for run in report.runs):
        lines += ["", _CLOSED_NOTE]
    if len(report.runs) > 1:
        lines += ["", *sweep_lines(report.runs)]
    return "\n".join(lines)


def run_lines(run: RunReport) -> list[str]:
    """Return the table of one run."""
    warmup = f", after {run.warmup_requests} for warm-up" if run.warmup_requests else ""
    plural = "" if run.requests == 1 else "s"
    cooldown = f", then {cooldown_text(run)}" if run.cooldown_requests else ""
    lines = [
        f"{run.load.description}: {run.requests:,} request{plural} in {run.window:.1f} s{warmup}{cooldown}",
        f"  {run.requests_per_second:,.2f} requests/s, {run.tokens_per_second:,.1f} tokens/s; {run.token_explanation}",
    ]
    if run.prompt_tokens is not None:
        low, mean, high = run.prompt_tokens
        lines.append(f"  prompts of {mean:,.0f} tokens on average, {low:,} to {high:,} (usage)")
    lines += failure_lines(run)
    if (goodput := run.goodput) is not None:
        limits = ", ".join(f"{name} <= {_seconds(limit)}" for name, limit in goodput.slo.items())
        lines.append(
            f"  goodput: {goodput.per_second:,.2f} requests/s, {goodput.good:,} of {run.requests:,} "
            f"({goodput.share:.1%}) with {limits}"
        )
    if run.metrics:
        lines += ["", *_table(run.metrics)]
    lines += ["", *verdict_lines(run)]
    return lines


def cooldown_text(run: RunReport) -> str:
    """Return the length of the cool-down."""
    return f"{run.cooldown:.1f} s of cool-down ({run.cooldown_requests:,} ended in it)"


def failure_lines(run: RunReport) -> list[str]:
    """Return the number of failures by class, each with an example."""
    if not run.failed:
        return ["  no failures"]
    lines = [f"  {run.failed:,} of {run.requests:,} failed ({run.failed / run.requests:.1%}):"]
    for outcome, number in run.outcomes.items():
        if outcome != "ok":
            lines.append(f"    {number:,} x {outcome}: {run.examples[outcome]}")
    return lines


def verdict_lines(run: RunReport) -> list[str]:
    """Return whether the client limited the run."""
    cpu = max(health.cpu / health.wall for health in run.processes)
    lag = max(health.lag_p99 for health in run.processes)
    paused = max(health.gc_max for health in run.processes)
    client = f"client: {cpu:.0%} of a core, loop lag p99 {_seconds(lag)}, longest GC pause {_seconds(paused)}"
    if len(run.processes) > 1:
        client += f" (worst of {len(run.processes)} processes)"
    lines = [f"  {client}"]
    if run.interrupted:
        lines.append("  interrupted: the figures cover the requests until then")
    if not run.outcomes.get("ok"):
        lines.append("  nothing was measured: no request was complete")
    elif run.invalid:
        lines.append("  INVALID: the figures show the client rather than the server")
        lines += [f"    {reason}" for reason in run.invalid]
    else:
        lines.append("  valid: the client did not limit the run")
    return lines


def definition_lines(runs: Sequence[RunReport]) -> list[str]:
    """Return one line for each metric of the runs."""
    metrics = {name: metric for run in runs for name, metric in run.metrics.items()}
    if not metrics:
        return []
    width = max((len(metric.title) for metric in metrics.values()), default=0)
    lines = [f"{metric.title:{width}}  {metric.definition}" for metric in metrics.values()]
    needed = ", ".join(f"{name} {samples_needed(float(name[1:])):,}" for name in _SHOWN)
    lines.append("-".ljust(width) + f"  too few samples; needed are {needed}")
    lines.append("(a - b)".ljust(width) + "  95 % bootstrap interval of the value before it, over requests of this run")
    return lines


def sweep_lines(runs: Sequence[RunReport]) -> list[str]:
    """Return one line for each run of a sweep."""
    rows = [["load", "requests/s", "tokens/s", "TTFT p50", "ITL p50", "failed", "goodput", "valid"]]
    rows += [
        [
            run.load.description,
            f"{run.requests_per_second:,.2f}",
            f"{run.tokens_per_second:,.1f}",
            _median(run, "ttft_scheduled" if "ttft_scheduled" in run.metrics else "ttft"),
            _median(run, "itl"),
            f"{run.failed / run.requests:.1%}" if run.requests else "-",
            "-" if run.goodput is None else f"{run.goodput.share:.1%}",
            "-" if not run.outcomes.get("ok") else "INVALID" if run.invalid else "yes",
        ]
        for run in runs
    ]
    return columns(rows)


def _median(run: RunReport, name: str) -> str:
    value = run.metrics[name].distribution.percentiles["p50"] if name in run.metrics else None
    return "-" if value is None else _seconds(value)


def _table(metrics: dict[str, MetricReport]) -> list[str]:
    rows = [["", "n", "mean", *_SHOWN, "max"]]
    for metric in metrics.values():
        distribution = metric.distribution
        cells = [format_value(distribution.mean, metric.unit)]
        for name in _SHOWN:
            value = distribution.percentiles[name]
            cell = "-" if value is None else format_value(value, metric.unit)
            if name in distribution.intervals:
                low, high = distribution.intervals[name]
                cell += f" ({format_value(low, metric.unit)} - {format_value(high, metric.unit)})"
            cells.append(cell)
        cells.append(format_value(distribution.maximum, metric.unit))
        rows.append([f"{metric.title}{unit_label(metric.unit)}", f"{distribution.n:,}", *cells])
    return [f"  {line}" for line in columns(rows)]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the cells of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def unit_label(unit: str) -> str:
    """Return the unit in which tables show a metric, for its heading."""
    return " (ms)" if unit == "s" else ""


def format_value(value: float, unit: str) -> str:
    """Return a value with about three digits, seconds as milliseconds."""
    if unit == "s":
        value *= 1000
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
