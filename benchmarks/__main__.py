"""Compare the CPU time, latency and memory of this package with other clients and gateways."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import gateway, report, start
from .environments import ENVIRONMENTS, NODE_PACKAGES, PEERS, install, own_interpreter, this_interpreter
from .gateways import GATEWAYS
from .measures import ALIASES, measures
from .peers.harness import raise_file_limit
from .runner import REPEATS, Bench, Interpreter

ROUNDS = 5
EVERY_PEER = list(dict.fromkeys([*PEERS, *GATEWAYS]))
EVERY_ENVIRONMENT = [*ENVIRONMENTS, *NODE_PACKAGES]


def record(
    names: list[str],
    peers: list[str],
    *,
    interpreter: Interpreter,
    rounds: int = ROUNDS,
    scale: float = 1.0,
    repeats: int = REPEATS,
    save: Callable[[report.Record], object] = lambda record: None,
) -> report.Record:
    """Run measures and return the record of them; `save` gets the record so far after each measure."""

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    known = measures(scale)
    results: dict[str, Any] = {}
    origins: dict[str, Any] = {}
    raise_file_limit()  # the processes started here inherit it
    with Bench(interpreter, repeats) as bench:
        made = {
            "machine": report.machine(),
            "cores": {"server": bench.server_core, "peers": bench.peer_core},
            "peers": peers,
            "gaps": bench.gaps,
            "versions": bench.versions,
            "origins": origins,
            "measures": results,
        }
        for name in names:
            if name == "start":
                results[name] = start.run(bench, peers, rounds, progress)
            elif name == "gateway":
                results[name] = gateway.run(bench, peers, rounds, scale, progress)
            else:
                results[name] = bench.run(known[name], peers, rounds, progress)
            origins[name] = report.origin(rounds, scale)
            save(made)
    return made


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    install_parser = commands.add_parser(
        "install", help="create the virtual environments of clients and gateways in benchmarks/.venvs"
    )
    install_parser.add_argument(
        "environment", nargs="*", help=f"environments to create (default: all): {', '.join(EVERY_ENVIRONMENT)}"
    )

    run_parser = commands.add_parser("run", help="run measures and print the tables")
    names = [*measures(), "start", "gateway"]
    run_parser.add_argument("measure", nargs="*", help=f"measures to run (default: all): {', '.join(names)}")
    run_parser.add_argument("--peers", help="clients and gateways to run, separated by commas (default: all)")
    run_parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="runs per client, in turn (default: %(default)s)"
    )
    run_parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="factor for the length of the runs, such as 0.1 for a first look (default: 1)",
    )
    run_parser.add_argument(
        "--here", action="store_true", help="run all clients in the current Python instead of their environments"
    )
    run_parser.add_argument(
        "--output", type=Path, help="write figures, raw results, machine and versions to a JSON file"
    )
    run_parser.add_argument(
        "--keep", action="store_true", help="keep the measures in the output file that are not run now"
    )
    run_parser.add_argument("--add", action="store_true", help="add the new runs to the measures in the output file")

    render_parser = commands.add_parser("render", help="print a record as Markdown")
    render_parser.add_argument("record", type=Path)
    render_parser.add_argument("--summary", action="store_true", help="print the summary tables only")
    render_parser.add_argument("--svg", type=Path, help="write a plot of CPU per event to this file; needs matplotlib")

    chosen = parser.parse_args(arguments)
    if chosen.command == "run":
        chosen.measure = [ALIASES.get(name, name) for name in chosen.measure]
    if getattr(chosen, "rounds", 1) < 1:
        parser.error("--rounds must be 1 or more")
    if getattr(chosen, "output", None) and not chosen.output.parent.is_dir():
        parser.error(f"--output: the folder {chosen.output.parent} does not exist")
    if getattr(chosen, "record", None) and not chosen.record.is_file():
        parser.error(f"the file {chosen.record} does not exist")
    for given, known in (("environment", EVERY_ENVIRONMENT), ("measure", names)):
        wrong = set(getattr(chosen, given, ())) - set(known)
        if wrong:
            parser.error(f"unknown {given}: {', '.join(sorted(wrong))}; choose from {', '.join(known)}")
    if getattr(chosen, "peers", None):
        chosen.peers = chosen.peers.split(",")
        if wrong := set(chosen.peers) - set(EVERY_PEER):
            parser.error(f"unknown peer: {', '.join(sorted(wrong))}; choose from {', '.join(EVERY_PEER)}")
    return chosen


def main() -> int:
    chosen = parse()
    if chosen.command == "install":
        failed = install(chosen.environment or EVERY_ENVIRONMENT)
        if failed:
            print(f"could not install {', '.join(failed)}; the tables will show gaps for them", file=sys.stderr)
        return bool(failed)
    made: dict[str, Any]
    if chosen.command == "run":
        old = (
            json.loads(chosen.output.read_text())
            if (chosen.keep or chosen.add) and chosen.output and chosen.output.exists()
            else None
        )

        def save(made: report.Record) -> None:
            if chosen.output:  # after each measure: a full run takes half an hour and may be interrupted
                kept = made if old is None else report.merged(old, made, add=chosen.add)
                chosen.output.write_text(json.dumps(kept, indent=1) + "\n")

        made = record(
            chosen.measure or [*measures(), "start", "gateway"],
            chosen.peers or EVERY_PEER,
            rounds=chosen.rounds,
            scale=chosen.scale,
            interpreter=this_interpreter if chosen.here else own_interpreter,
            save=save,
        )
        print(report.tables(made if old is None else report.merged(old, made, add=chosen.add)))
        return 0
    made = json.loads(chosen.record.read_text())
    print(report.summary(made) if chosen.summary else f"{report.summary(made)}\n\n{report.tables(made)}")
    print(f"\n{report.about(made)}")
    if chosen.svg:
        report.plot(made, chosen.svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
