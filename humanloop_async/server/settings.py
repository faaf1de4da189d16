"""What a server is configured with."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Self

from msgspec import Struct, field

from ..types.experiments import Sampling, Sticky
from .providers.settings import ProviderSettings


class ServeError(Exception):
    """The server cannot start as configured; the text says what to do."""


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Configuration of one server.

    Attributes:
        host: Address to listen on. One beyond loopback needs an `api_key`, or one made before.
        port: Port to listen on; 0 takes a free one.
        database: Path of a SQLite file, or a ``postgresql://`` URL.
        api_key: Key to let in, beside those in the database; None makes one when the database has none.
        providers: Configuration of the model providers.
        environments: Names of the environments that configurations are deployed to; the first is the default. One
            that is left out keeps its deployments, and has them again when it is named again. A new name is a new
            environment.
        experiment_sampling: How an experiment picks a configuration unless it says so itself: each equally often, or
            by Thompson sampling, the better ones more often.
        experiment_sticky: Whether a session, or a user, stays with the configuration that an experiment picked first,
            unless the experiment says so itself.
        experiment_seed: Makes the picks repeatable, for tests; None leaves them to chance.
        max_body_bytes: Largest request body, in bytes (413 above). The default leaves room for images.
        body_timeout: Seconds within which a request body has to arrive (408 after them).
        max_num_samples: Most samples of one call (422 above).
        max_template_chars: Largest prompt or chat template, in characters (422 above).
        max_rendered_chars: Largest prompt or message a template may grow to, in characters (422 above).
        max_generations: Most generations that run at once in one process (429 above).
        idempotency_ttl: Seconds for which an ``Idempotency-Key`` is remembered.
        write_timeout: Seconds after which a client that reads nothing of its stream counts as gone.
        keep_alive: Seconds of silence after which a stream gets a comment.
        shutdown_timeout: Seconds that running generations get when the server is told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8460
    database: str = "humanloop.db"
    api_key: str | None = None
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    environments: tuple[str, ...] = ("production",)
    experiment_sampling: Sampling = "uniform"
    experiment_sticky: Sticky = "none"
    experiment_seed: int | None = None
    max_body_bytes: int = 16 * 1024 * 1024
    body_timeout: float = 60
    max_num_samples: int = 128
    max_template_chars: int = 256 * 1024
    max_rendered_chars: int = 4 * 1024 * 1024
    max_generations: int = 1000
    idempotency_ttl: float = 24 * 60 * 60
    write_timeout: float = 120
    keep_alive: float = 15
    shutdown_timeout: float = 30

    def __repr__(self) -> str:  # a key, or a database's password, must not show
        return f"ServerSettings({self.host}:{self.port})"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach `host`."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Settings from ``HUMANLOOP_API_KEY`` and the providers' variables (`ProviderSettings.from_environ`).

        Raises:
            ValueError: A variable's value makes no sense; the text names the variable.
        """
        api_key = environ.get("HUMANLOOP_API_KEY", "").strip() or None
        if api_key is not None and not api_key.isprintable():  # nor are bytes that are not UTF-8
            raise ValueError("HUMANLOOP_API_KEY holds characters that no header can")
        return cls(
            api_key=api_key,
            providers=ProviderSettings.from_environ(environ),
        )
