"""``python -m humanloop_async.testing``: serve recordings and broken streams to clients in any language."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import ApiException
from ..transport.aiohttp_transport import AiohttpTransport
from ..transport.base import Transport
from .faults import Faults, parse_fault
from .faulty import FaultTransport
from .record import RecordingTransport
from .replay import ReplayTransport
from .server import TransportServer

_FAULTS = """\
Faults, with their fields:
  cut, reset, clean-end     after_events=0, or after_bytes=N
  stall                     after_events=0, seconds=S (default: no end), headers=true
  slow                      seconds=0.1, before each event
  comments-only             after_events=0, interval=0.1, seconds=S (default: no end)
  error-event               after_events=0, status=503, message=TEXT
  error-status              status=503, retry_after=S, message=TEXT
  invalid-json              after_events=0
  wrong-index               after_events=0, index=99

Examples:
  python -m humanloop_async.testing play recordings/chat.jsonl --port 8461
  python -m humanloop_async.testing play recordings/chat.jsonl --fault cut:after_events=3
  python -m humanloop_async.testing proxy http://127.0.0.1:8460 --record chat.jsonl
  python -m humanloop_async.testing proxy http://127.0.0.1:8460 --fault stall --rate 0.1"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The arguments. Default: those of the process.
    """
    options = _parser().parse_args(arguments)
    try:
        transport, upstream = options.open(options)
        if options.fault:
            faults = Faults.random(map(parse_fault, options.fault), rate=options.rate, seed=options.seed)
            transport = FaultTransport(transport, faults)
        server = TransportServer(transport, upstream=upstream, host=options.host, port=options.port)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(server))
    except (ApiException, OSError) as exc:
        problem = str(exc)
        if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
            where = f"{options.host} port {options.port}"
            problem = f"cannot listen on {where}: the port is in use; use --port 0 for a free one"
        print(f"{_PROGRAM}: {problem}", file=sys.stderr)
        return 1
    return 0


_PROGRAM = "python -m humanloop_async.testing"


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter  # keeps the lines of the epilog
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Serve recordings and broken streams over HTTP until Ctrl-C.",
        epilog=_FAULTS,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    play = commands.add_parser(
        "play", help="Serve a recording.", description="Serve a recording.", epilog=_FAULTS, formatter_class=raw
    )
    play.add_argument("file", type=Path, help="Recording to serve.")
    play.add_argument(
        "--speed", type=float, default=1.0, help="Pace, as a multiple of the recorded one; inf to not wait. Default: 1."
    )
    play.add_argument("--once", action="store_true", help="Serve each recorded call once. Default: again and again.")
    play.set_defaults(open=_open_recording)

    proxy = commands.add_parser(
        "proxy",
        help="Pass calls on to a server.",
        description="Pass calls on to a server.",
        epilog=_FAULTS,
        formatter_class=raw,
    )
    proxy.add_argument("upstream", metavar="URL", help="Server to call, such as http://127.0.0.1:8460.")
    proxy.add_argument("--record", type=Path, metavar="FILE", help="Record the calls into this file, replacing it.")
    proxy.set_defaults(open=_open_proxy)

    for command in (play, proxy):
        command.add_argument("--host", default="127.0.0.1", help="Address to listen on. Default: 127.0.0.1.")
        command.add_argument("--port", type=int, default=0, help="Port to listen on. Default: a free one.")
        command.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="NAME[:FIELD=VALUE,...]",
            help="Break calls with this fault; repeatable, one of them is chosen for each call.",
        )
        command.add_argument("--rate", type=float, default=1.0, help="Share of the calls to break, 0 to 1. Default: 1.")
        command.add_argument("--seed", type=int, default=0, help="Seed of the choice of calls and faults. Default: 0.")
    return parser


def _open_recording(options: argparse.Namespace) -> tuple[Transport, str]:
    return ReplayTransport(options.file, options.speed, repeat=not options.once), "http://recording.invalid"


def _open_proxy(options: argparse.Namespace) -> tuple[Transport, str]:
    inner: Transport = AiohttpTransport()
    return (inner if options.record is None else RecordingTransport(inner, options.record)), options.upstream


async def _serve(server: TransportServer) -> None:
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        print(f"serving on {server.url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
