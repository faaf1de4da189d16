"""``python -m benchmarks``: install the peers, run the measures, render what was recorded."""

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
from .measures import measures
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
    save: Callable[[report.Record], object] = lambda made: None,
) -> report.Record:
    """Run measures and return all that a table is made from; `save` gets it after each of them."""

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    known, found, origins = measures(scale), {}, {}
    raise_file_limit()  # what is started here inherits it
    with Bench(interpreter, repeats) as bench:
        made = {
            "machine": report.machine(),
            "cores": {"server": bench.server_core, "peers": bench.peer_core},
            "peers": peers,
            "gaps": bench.gaps,
            "versions": bench.versions,
            "origins": origins,
            "measures": found,
        }
        for name in names:
            if name == "start":
                found[name] = start.run(bench, peers, rounds, say)
            elif name == "gateway":
                found[name] = gateway.run(bench, peers, rounds, scale, say)
            else:
                found[name] = bench.run(known[name], peers, rounds, say)
            origins[name] = report.origin(rounds, scale)
            save(made)
    return made


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    one = commands.add_parser("install", help="create each peer's virtual environment under benchmarks/.venvs")
    one.add_argument("environment", nargs="*", help=f"which (default: all): {', '.join(EVERY_ENVIRONMENT)}")

    two = commands.add_parser("run", help="measure, and print the tables")
    names = [*measures(), "start", "gateway"]
    two.add_argument("measure", nargs="*", help=f"which (default: all): {', '.join(names)}")
    two.add_argument("--peers", help="which, separated by commas (default: all)")
    two.add_argument("--rounds", type=int, default=ROUNDS, help="how often the peers take turns (default: %(default)s)")
    two.add_argument("--scale", type=float, default=1.0, help="shorten the runs, for a first look (default: 1)")
    two.add_argument("--here", action="store_true", help="run every peer in this Python, not in its own environment")
    two.add_argument("--output", type=Path, help="also write figures, raw results, machine and versions as JSON")
    two.add_argument("--keep", action="store_true", help="keep what that file has of measures that are not run now")
    two.add_argument("--add", action="store_true", help="keep all that it has, and add these runs to those measures")

    three = commands.add_parser("render", help="print a recorded run as Markdown")
    three.add_argument("record", type=Path)
    three.add_argument("--summary", action="store_true", help="only the README's table")
    three.add_argument("--svg", type=Path, help="also draw CPU per event against the peers")

    chosen = parser.parse_args(arguments)
    if getattr(chosen, "rounds", 1) < 1:
        parser.error("--rounds must be 1 or more")
    if getattr(chosen, "output", None) and not chosen.output.parent.is_dir():
        parser.error(f"there is no folder {chosen.output.parent}")
    if getattr(chosen, "record", None) and not chosen.record.is_file():
        parser.error(f"there is no file {chosen.record}")
    for given, known in (("environment", EVERY_ENVIRONMENT), ("measure", names)):
        wrong = set(getattr(chosen, given, ())) - set(known)
        if wrong:
            parser.error(f"unknown {given}: {', '.join(sorted(wrong))}; there are {', '.join(known)}")
    if getattr(chosen, "peers", None):
        chosen.peers = chosen.peers.split(",")
        if wrong := set(chosen.peers) - set(EVERY_PEER):
            parser.error(f"unknown peer: {', '.join(sorted(wrong))}; there are {', '.join(EVERY_PEER)}")
    return chosen


def main() -> int:
    chosen = parse()
    if chosen.command == "install":
        failed = install(chosen.environment or EVERY_ENVIRONMENT)
        if failed:
            print(f"not installed: {', '.join(failed)}; they will be gaps in the tables", file=sys.stderr)
        return bool(failed)
    made: dict[str, Any]
    if chosen.command == "run":
        old = (
            json.loads(chosen.output.read_text())
            if (chosen.keep or chosen.add) and chosen.output and chosen.output.exists()
            else None
        )

        def save(made: report.Record) -> None:
            if chosen.output:  # after each measure: a full run takes half an hour, and may be interrupted
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
