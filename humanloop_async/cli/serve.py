"""``humanloop-async serve``: run a server, and print its address, its key and an example request."""

from __future__ import annotations

import shlex
import sys
from urllib.parse import quote

import msgspec

from .. import __version__
from ..server.http.routing import BASE_PATH
from ..server.providers.registry import Providers
from ..server.running.log_output import LogOptions, configure_logging
from ..server.running.serve import ServerInfo, raise_file_limit, run, serve
from ..server.running.workers import serve_workers
from ..server.settings import ServeError, ServerSettings
from ..server.storage.database import display_url, new_files
from ..server.storage.errors import DatabaseError
from .errors import CommandError

_EXAMPLE = {
    "model_config": {"provider": "mock", "model": "mock", "other": {"tokens_per_second": 20}},
    "messages": [{"role": "user", "content": "Say hello"}],
    "num_samples": 2,
    "stream": True,
}


def run_server(settings: ServerSettings, *, workers: int, log: LogOptions) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: Settings of the server.
        workers: Number of processes. A single worker runs in this process.
        log: Options of the log.

    Raises:
        CommandError: The server cannot start.
    """
    configure_logging(log)

    def show_start() -> None:
        print(start_banner(settings), flush=True)

    def show(info: ServerInfo) -> None:
        print(banner(settings, info), flush=True)

    try:
        if workers == 1:
            raise_file_limit(settings.max_generations)
            run(serve(settings, on_start=show_start, on_ready=show))
        else:
            log = msgspec.structs.replace(log, process_id=True)
            run(serve_workers(settings, workers, log=log, on_start=show_start, on_ready=show))
    except (ServeError, DatabaseError, OSError) as exc:
        raise CommandError(str(exc).partition("\n")[0]) from exc
    print("stopped", file=sys.stderr)


def start_banner(settings: ServerSettings) -> str:
    """Return the version and the database. Creating or upgrading its tables may take a while."""
    database = display_url(settings.database)
    if (new := new_files(settings.database)) is not None:
        database += f"\n             ({new})"
    return f"humanloop-async {__version__}: Humanloop v4 API\n\n  database   {database}"


def banner(settings: ServerSettings, info: ServerInfo) -> str:
    """Return the address, the web page, the API key if it is new, and an example request."""
    if info.new_key is not None:
        key = f"{info.new_key}\n             (new; keep it, it is not shown again)"
    elif settings.api_key is not None:
        key = "the value of HUMANLOOP_API_KEY"
        if info.other_keys:
            also = f"{info.other_keys} of the database" if info.other_keys > 1 else "one of the database"
            key += f", and {also}\n             (run `humanloop-async keys list`)"
    else:
        key = "created at an earlier start\n             (lost? run `humanloop-async keys create`)"
    everywhere = "\n             (listens on all addresses of this machine)" if settings.is_everywhere else ""
    return f"""\
  address    {info.base_url}{everywhere}{page_line(settings, info)}
  deploy to  {", ".join([f"{settings.environments[0]} (default)", *settings.environments[1:]])}
  providers  {providers_line(settings)}
  API key    {key}
  stop       Ctrl-C (running generations have {settings.shutdown_timeout:g} s; press twice to stop at once)

Try it from another terminal:

{example(info)}
"""


def providers_line(settings: ServerSettings) -> str:
    """Return the names of the providers that need no key from the caller."""
    ready = [info.name for info in Providers(settings.providers).describe() if info.ready]
    return f"{', '.join(ready)} (others with the caller's key)"


def page_line(settings: ServerSettings, info: ServerInfo) -> str:
    """Return the line with the URL of the web page, if it is served.

    On loopback the URL contains a new key. Browsers do not send the part after ``#``, and the page removes it.
    """
    if not settings.page:
        return ""
    fragment = f"#key={quote(info.new_key)}" if info.new_key and settings.is_loopback else ""
    return f"\n  web page   {info.base_url.removesuffix(BASE_PATH)}/{fragment}"


def example(info: ServerInfo) -> str:
    """Return a ``curl`` line that streams two samples from ``mock``, with the new key or ``$HUMANLOOP_API_KEY``."""
    key = f"'X-API-KEY: {info.new_key}'" if info.new_key else '"X-API-KEY: $HUMANLOOP_API_KEY"'
    body = shlex.quote(msgspec.json.encode(_EXAMPLE).decode())
    url = shlex.quote(f"{info.base_url}/chat")
    return f"curl -N {url} -H {key} -H 'Content-Type: application/json' -d {body}"
