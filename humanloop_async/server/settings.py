"""What a server is configured with."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Self

from msgspec import Struct, field

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
        max_body_bytes: Largest request body, in bytes (413 above). The default leaves room for images.
        max_num_samples: Most samples of one call (422 above).
        max_template_chars: Largest prompt or chat template, in characters (422 above).
        max_rendered_chars: Largest prompt or message a template may grow to, in characters (422 above).
        max_generations: Most generations that run at once (429 above).
        keep_alive: Seconds of silence after which a stream gets a comment.
        shutdown_timeout: Seconds that running generations get when the server is told to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8460
    database: str = "humanloop.db"
    api_key: str | None = None
    providers: ProviderSettings = field(default_factory=ProviderSettings)
    max_body_bytes: int = 16 * 1024 * 1024
    max_num_samples: int = 128
    max_template_chars: int = 256 * 1024
    max_rendered_chars: int = 4 * 1024 * 1024
    max_generations: int = 1000
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
        return cls(
            api_key=environ.get("HUMANLOOP_API_KEY", "").strip() or None,
            providers=ProviderSettings.from_environ(environ),
        )
