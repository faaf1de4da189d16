"""Configuration of a server."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Self

from msgspec import Struct, field

from ..types.experiments import Sampling, Sticky
from .environment import with_secret_files
from .providers.settings import ProviderSettings
from .templates.template import Snippets


class ServeError(Exception):
    """The server cannot start with its configuration; the message says what to change."""


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Configuration of one server.

    Attributes:
        host: Address to listen on. Any address except loopback needs an `api_key`, or a key in the database.
        port: Port to listen on; 0 selects a free one.
        database: Path of a SQLite file, or a ``postgresql://`` URL.
        db_connections: Most connections of one process to the database, at least 2.
        api_key: API key to accept in addition to those in the database. With None, one is created if the database has
            none.
        providers: Configuration of the model providers.
        environments: Names of the environments to create if they are missing; the first is the default one. All other
            environments of the database are served, too.
        tools: The snippet tools that templates may call: texts by key, by the tool's name.
        experiment_sampling: Default sampling of experiments that set none: ``uniform``, or ``thompson`` (favours better
            configurations).
        experiment_sticky: Default stickiness of experiments that set none: whether a session, or a user, keeps the
            configuration it got first.
        experiment_seed: Seed that makes the sampling of experiments repeatable, for tests.
        max_body_bytes: Largest request body, in bytes (413 above). The default leaves room for images.
        max_bodies_bytes: Most bytes of all request bodies in one process (503 above). A body counts until its call has
            ended.
        body_timeout: Seconds that a request body may take to arrive (408 above).
        max_num_samples: Most samples in one call (422 above).
        max_samples_bytes: Most bytes of a call's inputs and prompt times its samples, because a response repeats them
            for each sample (422 above). A call with one sample has no such limit.
        max_template_chars: Largest prompt or chat template, in characters (422 above).
        max_rendered_chars: Largest prompt or message after rendering, in characters (422 above).
        max_generations: Most generations running at once in one process (429 above).
        max_evaluation_steps: Most steps of evaluations running at once in one process: generations for datapoints, and
            runs of evaluators. 0 leaves them to other processes.
        python_evaluators: Whether to run the code of python evaluators, which anyone with an API key can store. It runs
            isolated, which needs Linux on x86-64 or arm64 with Landlock.
        list_timeout: Seconds that a list of logs may take (503 above).
        idempotency_ttl: Seconds for which an ``Idempotency-Key`` and its response are stored.
        write_timeout: Seconds without progress after which the connection of a client that does not read is closed.
        keep_alive: Seconds without an event after which a comment is sent on a stream.
        idle_timeout: Seconds after which a connection without a request in progress is closed.
        metrics: Whether ``/metrics`` serves metrics for Prometheus, without a key (extra `metrics`).
        drain_delay: Seconds for which a server that is about to stop still accepts calls, while ``/ready`` fails. A
            reverse proxy needs them to notice.
        shutdown_timeout: Seconds that running generations get to finish when the server stops.
        page: Whether to serve the web page at ``/``.
        allowed_hosts: Further names of the server. A server on loopback rejects requests without a key for other
            names (421): those of a web site whose name points to 127.0.0.1. A reverse proxy may pass its name on.
        cors_origins: Origins, such as ``https://app.example``, whose web pages may call the API from a browser; ``*``
            for all. Such a page needs an API key, too.
    """

    host: str = "127.0.0.1"
    port: int = 8460
    database: str = "humanloop.db"
    db_connections: int = 15
    api_key: str | None = None
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    environments: tuple[str, ...] = ("production",)
    tools: Snippets = field(default_factory=dict[str, Mapping[str, str]])
    experiment_sampling: Sampling = "uniform"
    experiment_sticky: Sticky = "none"
    experiment_seed: int | None = None
    max_body_bytes: int = 16 * 1024 * 1024
    max_bodies_bytes: int = 256 * 1024 * 1024
    body_timeout: float = 60
    max_num_samples: int = 128
    max_samples_bytes: int = 32 * 1024 * 1024
    max_template_chars: int = 256 * 1024
    max_rendered_chars: int = 4 * 1024 * 1024
    max_generations: int = 1000
    max_evaluation_steps: int = 10
    python_evaluators: bool = False
    list_timeout: float = 30
    idempotency_ttl: float = 24 * 60 * 60
    write_timeout: float = 120
    keep_alive: float = 15
    idle_timeout: float = 75
    metrics: bool = False
    drain_delay: float = 0
    shutdown_timeout: float = 30
    page: bool = True
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()

    def __repr__(self) -> str:  # keys and the database's password are secret
        return f"ServerSettings({self.host}:{self.port})"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach `host`."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_everywhere(self) -> bool:
        """Whether the server listens on all addresses of this machine."""
        try:
            return not self.host or ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read settings from ``HUMANLOOP_API_KEY`` and the providers' variables (`ProviderSettings.from_environ`).

        A secret may also be in a file that ``<VARIABLE>_FILE`` names.

        Raises:
            ValueError: The value of a variable is invalid; the message names the variable.
        """
        environ = with_secret_files(environ)
        api_key = environ.get("HUMANLOOP_API_KEY", "").strip() or None
        if api_key is not None and not api_key.isprintable():  # false also for bytes that are not UTF-8
            raise ValueError("HUMANLOOP_API_KEY contains characters not allowed in an HTTP header")
        return cls(api_key=api_key, providers=ProviderSettings.from_environ(environ))
