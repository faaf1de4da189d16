"""``humanloop-async serve``: what a server says when it is up."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from pathlib import Path

import msgspec

from .. import __version__
from ..server.serve import ServerInfo, access_logger, serve
from ..server.settings import ServeError, ServerSettings
from ..server.storage.database import DatabaseError, database_url
from .failures import CommandError

_EXAMPLE = {
    "model_config": {"provider": "mock", "model": "mock", "other": {"tokens_per_second": 20}},
    "messages": [{"role": "user", "content": "Say hello"}],
    "num_samples": 2,
    "stream": True,
}


def run_server(settings: ServerSettings, *, access_log: bool) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        CommandError: It cannot start.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    access_logger.setLevel(logging.INFO if access_log else logging.WARNING)
    try:
        asyncio.run(serve(settings, on_ready=lambda info: print(banner(settings, info), flush=True)))
    except (ServeError, DatabaseError, OSError) as exc:
        raise CommandError(str(exc).partition("\n")[0]) from exc
    print("stopped", file=sys.stderr)


def banner(settings: ServerSettings, info: ServerInfo) -> str:
    """Address, database, key, and a line to try; the key itself only when it was made just now."""
    if info.new_key is not None:
        key = f"{info.new_key}\n             (made just now; keep it, it is not shown again)"
    elif settings.api_key is not None:
        key = "the one in HUMANLOOP_API_KEY"
    else:
        key = "the one made at an earlier start\n             (lost? start with one of yours in HUMANLOOP_API_KEY)"
    return f"""\
humanloop-async {__version__} serves the Humanloop v4 API.

  address    {info.base_url}
  database   {_shown_database(settings.database)}
  API key    {key}
  stop       Ctrl-C (running generations get {settings.shutdown_timeout:g} s; again: at once)

Try it, from another terminal:

{example(info)}
"""


def example(info: ServerInfo) -> str:
    """A ``curl`` line that streams two samples from ``mock``; the shell fills in a key that is not new."""
    key = f"'X-API-KEY: {info.new_key}'" if info.new_key else '"X-API-KEY: $HUMANLOOP_API_KEY"'
    body = shlex.quote(msgspec.json.encode(_EXAMPLE).decode())
    url = shlex.quote(f"{info.base_url}/chat")
    return f"curl -N {url} -H {key} -H 'Content-Type: application/json' -d {body}"


def _shown_database(path_or_url: str) -> str:
    url = database_url(path_or_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return str(Path(url.database).resolve())
    return url.render_as_string(hide_password=True)
