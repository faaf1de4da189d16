"""Render recorded figures: tables, in Markdown that a terminal shows well, and the plot."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import gateway
from .environments import PEERS, ROOT
from .gateway import FIRST, GATEWAY, HOLD, PACED, RATE, THROUGHPUT
from .gateways import GATEWAYS
from .measures import Figure, Measure, measures
from .runner import DISTURBED, summarise
from .start import START

Record = dict[str, Any]

MEASURES: dict[str, Measure] = {**measures(), "start": START, "gateway": GATEWAY}
TITLES = {name: row.title for name, row in GATEWAYS.items()} | {name: row.title for name, row in PEERS.items()}

# The summary table: heading, measure, case, figure.
SUMMARY = (
    ("throughput, 1 per write (us)", "throughput", "1 per write", "cpu_us"),
    ("throughput, 64 per write (us)", "throughput", "64 per write", "cpu_us"),
    ("ping-pong (us)", "ping-pong", "at once", "cpu_us"),
    ("1,000 streams (us)", "many", "1,000 x 10/s", "cpu_us"),
    ("memory per stream (KB)", "many", "1,000 x 10/s", "memory_kb"),
    ("call, 64 at once (us)", "calls", "64 at once", "cpu_us"),
    ("import (ms)", "start", "", "import_ms"),
    ("client ready (ms)", "start", "", "client_ms"),
)


GATEWAY_SUMMARY = (
    ("throughput (us per event)", "gateway", THROUGHPUT, "cpu_us"),
    (f"{PACED} (us per event)", "gateway", PACED, "cpu_us"),
    ("start, end and log (ms per call)", "gateway", PACED, "call_ms"),
    ("added to first token (ms)", "gateway", FIRST, "added_ms"),
    (f"streams at {RATE}/s, two cores", "gateway", HOLD, "streams"),
)


MARK = "*"
EXPLAINED = (
    f"({MARK}) In every run of this cell the machine was {DISTURBED} times slower than at its best in the column."
)


def machine() -> dict[str, Any]:
    """Describe the machine and the Python."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": sys.version.split()[0],
    }


def origin(rounds: int, scale: float) -> dict[str, Any]:
    """Return the origin of a measure's figures: date, commit of the package, number of rounds, scale."""
    commit = _git("log", "-1", "--format=%h", "--", "humanloop_async")
    changed = "+" if _git("status", "--porcelain", "--", "humanloop_async") else ""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"date": date, "commit": f"{commit}{changed}" if commit else None, "rounds": rounds, "scale": scale}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def number(value: float) -> str:
    """Format with three significant digits and no exponent; a count stays whole."""
    if value >= 99.95 or isinstance(value, int):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def markdown(headings: list[str], rows: list[list[str]]) -> str:
    """Build a Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    aligns = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    lines = [[head.ljust(width) for head, width in zip(headings, widths, strict=True)], aligns]
    lines += [
        [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)] for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def gap(record: Record, measure: str, name: str) -> str | None:
    """Return the reason why a client has no figures in a measure, None if it has."""
    reason: str | None = record["gaps"].get(gateway.key(name) if measure == GATEWAY.name else name)
    return reason


def cell(record: Record, measure: str, case: str, name: str, figure: str) -> str:
    """Format one figure and its ratio to ours; the text is empty for a client that does not run this measure."""
    by_peer = record["measures"][measure][case]
    found, ours = by_peer.get(name), by_peer.get("ours")
    if found is None:
        return "gap" if gap(record, measure, name) else ""
    if "failed" in found:
        return "failed"
    value = found["figures"].get(figure)
    if value is None:
        return "-"
    base = ours["figures"].get(figure) if ours and "figures" in ours else None
    mark = MARK if figure == "cpu_us" and found.get("disturbed") else ""
    ratio = f" ({value / base:.2f}x)" if base and base > 0 and figure == "cpu_us" and found is not ours else ""
    return number(value) + mark + ratio


def table(record: Record, measure: Measure) -> str:
    """Build the table of one measure; in brackets the ratio to ours, within this run."""
    by_case = record["measures"][measure.name]
    figures: list[tuple[str, Figure]] = [
        (case, figure)
        for case, by_peer in by_case.items()
        for figure in measure.figures
        if figure.key in {key for found in by_peer.values() for key in found.get("figures", measure.figures)}
    ]
    headings = ["", *(f"{case} {figure.heading}".strip() for case, figure in figures)]
    names = [name for name in measure.peers if name in record["peers"]]
    rows = [[TITLES[name], *(cell(record, measure.name, c, name, f.key) for c, f in figures)] for name in names]
    notes = [f"- gap: {TITLES[name]}: {reason}" for name in names if (reason := gap(record, measure.name, name))]
    for case, by_peer in by_case.items():
        failed = {name: found["failed"] for name, found in by_peer.items() if "failed" in found}
        notes += [f"- failed: {TITLES[name]}, {case}: {reason}" for name, reason in failed.items()]
    if any(MARK in text for row in rows for text in row):
        notes.append(EXPLAINED)
    return "\n\n".join(filter(None, (f"### {measure.title}", markdown(headings, rows), "\n".join(notes))))


def tables(record: Record) -> str:
    """Build the tables of every measure in a record."""
    return "\n\n".join(table(record, MEASURES[name]) for name in record["measures"])


def summary(record: Record) -> str:
    """Build the two summary tables, of the clients and of the gateways, from the measures in the record."""
    return "\n\n".join(filter(None, (_summary(record, SUMMARY, PEERS), _summary(record, GATEWAY_SUMMARY, GATEWAYS))))


def _summary(record: Record, summed: tuple[tuple[str, str, str, str], ...], names: Iterable[str]) -> str:
    columns = [c for c in summed if c[2] in record["measures"].get(c[1], {})]
    rows: list[list[str]] = []
    for name in (name for name in names if name in record["peers"]):
        cells = []
        for _, measure, case, figure in columns:
            taken = name in MEASURES[measure].peers
            cells.append(cell(record, measure, case, name, figure) if taken else "")
        if any(cells):
            rows.append([TITLES[name], *cells])
    if not columns:
        return ""
    made = markdown(["", *(column[0] for column in columns)], rows)
    return f"{made}\n\n{EXPLAINED}" if MARK in made else made


def merged(old: Record, new: Record, *, add: bool = False) -> Record:
    """Combine two records. A measure that both have comes from `new` or, with `add`, has the runs of both."""
    if old["machine"] != new["machine"]:
        raise SystemExit("the output file was recorded on another machine or Python; choose another file name")
    if add:
        new = _added(old, new)
    gaps = {name: why for name, why in old["gaps"].items() if name not in new["versions"]}
    return {
        **new,
        "peers": list(dict.fromkeys([*old["peers"], *new["peers"]])),
        "gaps": {**gaps, **new["gaps"]},
        **{key: {**old.get(key, {}), **new[key]} for key in ("versions", "origins", "measures")},
    }


def _added(old: Record, new: Record) -> Record:
    measures, origins = dict(new["measures"]), dict(new["origins"])
    for name in old["measures"].keys() & measures.keys():
        first, second = old["origins"][name], origins[name]
        if (first["commit"], first["scale"]) != (second["commit"], second["scale"]):
            raise SystemExit(f"--add: the output file's runs of {name} are of another commit or scale; use --keep")
        origins[name] = {**second, "rounds": first["rounds"] + second["rounds"]}
        before = old["measures"][name]
        measures[name] = {
            case: summarise(
                MEASURES[name],
                {
                    peer: [*before.get(case, {}).get(peer, {"runs": []})["runs"], *found["runs"]]
                    for peer, found in by_peer.items()
                },
            )
            for case, by_peer in measures[name].items()
        }
    return {**new, "measures": measures, "origins": origins}


def about(record: Record) -> str:
    """Describe the origin of the figures in one line: dates, commits, machine and versions."""
    host, origins = record["machine"], record.get("origins", {}).values()
    numbers = [origin["rounds"] for origin in origins]
    rounds = " to ".join(map(str, sorted({min(numbers, default=0), max(numbers, default=0)})))
    dates = " and ".join(sorted({origin["date"] for origin in origins}))
    commits = " and ".join(sorted({origin["commit"] for origin in origins if origin["commit"]}))
    scales = {origin["scale"] for origin in origins} - {1.0}
    versions = {name: version for peer in record["versions"].values() for name, version in peer["versions"].items()}
    shortened = f" (shortened: {', '.join(map(str, sorted(scales)))})" if scales else ""
    return (
        f"{dates}, commit {commits or 'unknown'}, {host['processor']}, {host['cores']} cores, "
        f"{host['system']}, {host['libc']}, Python {host['python']}; medians of {rounds} rounds{shortened}; "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + "."
    )


PLOT = (
    ("throughput, 64 events per write", "throughput", "64 per write"),
    ("ping-pong, one event per read", "ping-pong", "at once"),
)
INK, OURS, THEIRS, BASELINE = "#57606a", "#b35900", "#2f6fbf", "#6e7781"
DARK = {INK: "#9da7b3", OURS: "#f0883e", THEIRS: "#6cb0ff", BASELINE: "#8b949e"}


def plot(record: Record, path: Path) -> None:
    """Draw CPU per event, a dot for each client, on a transparent background that suits light and dark pages."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "humanloop_async",
            "font.family": "sans-serif",
            "font.size": 10,
            **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), INK),
        }
    )
    shown = [(title, record["measures"][m][c]) for title, m, c in PLOT if c in record["measures"].get(m, {})]
    figure, every_axes = plt.subplots(1, len(shown), figsize=(10, 4.2), sharey=True, squeeze=False)
    names = [name for name in reversed(PEERS) if all("figures" in found.get(name, {}) for _, found in shown)]
    for axes, (title, found) in zip(every_axes[0], shown, strict=True):
        values = [found[name]["figures"]["cpu_us"] for name in names]
        colours = [BASELINE if n.startswith("baseline") else OURS if n.startswith("ours") else THEIRS for n in names]
        axes.scatter(values, [TITLES[name] for name in names], c=colours, s=45, zorder=2)
        for row, value in enumerate(values):
            axes.annotate(number(value), (value, row), (8, 0), textcoords="offset points", va="center")
        axes.set_xscale("log")
        axes.set_xlim(10 ** math.floor(math.log10(min(values) / 1.1)), max(values) * 4)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("CPU per event, µs, logarithmic")
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, transparent=True, metadata={"Date": None})
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark} !important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>\n"
    path.write_text(path.read_text().replace(" <defs>", f" {style} <defs>", 1))
