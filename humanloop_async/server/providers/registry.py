"""The providers of one server, by their v4 names."""

from __future__ import annotations

from .base import PLATFORM, Provider, ProviderError
from .local import LocalProvider
from .mock import MockProvider
from .openai import CompatibleProvider, OpenAIProvider
from .settings import ProviderSettings


class Providers:
    """Makes each provider when it is first asked for, and closes all of them.

    Must be used on one event loop.
    """

    def __init__(self, settings: ProviderSettings | None = None) -> None:
        self.settings = settings or ProviderSettings()
        self._made: dict[str, Provider] = {}

    @property
    def names(self) -> list[str]:
        """The names that `get` knows, sorted."""
        return sorted(["openai", "mock", "local", *self.settings.compatible])

    def get(self, name: str) -> Provider:
        """The provider of that v4 name.

        Raises:
            ProviderError: There is no such provider (422); the message lists those there are.
        """
        provider = self._made.get(name)
        if provider is None:
            provider = self._made[name] = self._make(name)
        return provider

    def _make(self, name: str) -> Provider:
        settings = self.settings
        if name == "mock":
            return MockProvider(settings.mock_tokens_per_second)
        if name == "openai":
            return OpenAIProvider(settings.openai_base_url, settings.openai_api_key)
        if name == "local":
            return LocalProvider(settings)
        if name in settings.compatible:
            return CompatibleProvider(name, settings.compatible[name])
        raise ProviderError(422, f"unknown provider {name!r}; this server has {', '.join(self.names)}", PLATFORM)

    async def aclose(self) -> None:
        """Close every provider; twice does no harm."""
        while self._made:
            _, provider = self._made.popitem()
            await provider.aclose()
