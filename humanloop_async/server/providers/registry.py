"""The providers of one server, by their v4 names."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from ...errors import PLATFORM
from . import anthropic, cohere
from .azure import AzureProvider
from .base import Provider, ProviderError
from .capabilities import Capabilities
from .http_provider import HttpProvider
from .local import LocalProvider, local_capabilities, unavailable
from .mock import MOCK_CAPABILITIES, MockProvider
from .network import ProviderTransport
from .openai import OPENAI_CAPABILITIES, CompatibleProvider, OpenAIProvider
from .preset_adapter import PresetAdapter
from .presets import PRESETS
from .settings import KEY_VARIABLES, OPENAI_BASE_URL, CompatibleServer, ProviderSettings

ENTRY_POINTS = "humanloop_async.providers"
"""Group of the entry points by which other packages add providers: the v4 name, and a `Factory`."""

Factory = Callable[[ProviderSettings], Provider]
"""Creates a provider. It is called once, when the first call names the provider."""

_UNSUPPORTED = {
    "bedrock": (
        "provider 'bedrock' is not supported; use 'anthropic', or configure an OpenAI-compatible gateway to Bedrock "
        "with HUMANLOOP_PROVIDER_<NAME>_BASE_URL"
    )
}
"""Providers of v4 that the server lacks -> the message for a call that names one."""


def _openai(settings: ProviderSettings) -> Provider:
    return OpenAIProvider(
        settings.openai_base_url,
        settings.openai_api_key,
        ProviderTransport(settings.network),
        max_retries=settings.max_retries,
    )


def _azure(settings: ProviderSettings) -> Provider:
    return AzureProvider(
        settings.azure_endpoint,
        settings.keys.get("openai_azure"),
        settings.azure_api_version,
        hosts=settings.caller_hosts,
        max_retries=settings.max_retries,
        transport=ProviderTransport(settings.network),
    )


def _anthropic(settings: ProviderSettings) -> Provider:
    return HttpProvider(
        "anthropic",
        anthropic.ORIGIN,
        anthropic.AnthropicAdapter(),
        base_url=settings.base_urls.get("anthropic", anthropic.BASE_URL),
        api_key=settings.keys.get("anthropic"),
        key_variable=KEY_VARIABLES["anthropic"][0],
        max_retries=settings.max_retries,
        transport=ProviderTransport(settings.network),
    )


def _cohere(settings: ProviderSettings) -> Provider:
    return HttpProvider(
        "cohere",
        cohere.ORIGIN,
        cohere.CohereAdapter(),
        base_url=settings.base_urls.get("cohere", cohere.BASE_URL),
        api_key=settings.keys.get("cohere"),
        key_variable=KEY_VARIABLES["cohere"][0],
        max_retries=settings.max_retries,
        transport=ProviderTransport(settings.network),
    )


def _preset(name: str, settings: ProviderSettings) -> Provider:
    preset = PRESETS[name]
    server = settings.compatible.get(name) or CompatibleServer(base_url=preset.base_url)
    is_own = server.base_url != preset.base_url  # another server may need no key
    return HttpProvider(
        name,
        preset.origin,
        PresetAdapter(preset, server.completions),
        base_url=server.base_url,
        api_key=server.api_key or settings.keys.get(name),
        key_variable=preset.key_variables[0] if preset.key_variables and not is_own else None,
        query=server.query,
        extra_headers=server.headers,
        max_n=server.max_n,
        max_retries=settings.max_retries,
        transport=ProviderTransport(settings.network),
    )


def _compatible(name: str, settings: ProviderSettings) -> Provider:
    return CompatibleProvider(
        name,
        settings.compatible[name],
        max_retries=settings.max_retries,
        transport=ProviderTransport(settings.network),
    )


def _mock(settings: ProviderSettings) -> Provider:
    return MockProvider(settings.mock_tokens_per_second, settings.mock_script)


_BUILT_IN: dict[str, Factory] = {
    "openai": _openai,
    "openai_azure": _azure,
    "anthropic": _anthropic,
    "cohere": _cohere,
    "mock": _mock,
    "local": LocalProvider,
    **{name: partial(_preset, name) for name in PRESETS},
}


def capability_rows() -> dict[str, Capabilities]:
    """Return the capabilities of the built-in providers that are HTTP APIs."""
    rows = {
        "openai": OPENAI_CAPABILITIES,
        "openai_azure": OPENAI_CAPABILITIES,
        "anthropic": anthropic.CAPABILITIES,
        "cohere": cohere.CAPABILITIES,
    }
    return rows | {name: preset.capabilities for name, preset in PRESETS.items()}


class ProviderInfo(Struct, frozen=True):
    """One provider of a server.

    Attributes:
        ready: Whether the server can call it without a key from the caller.
        capabilities: The parameters that it has; None if unknown, as for providers of other packages.
    """

    name: str
    ready: bool
    capabilities: Capabilities | None


class Providers:
    """Creates each provider when a call first names it, and closes all of them.

    Must be used on one event loop. A name is, in this order: a built-in provider's, a configured OpenAI-compatible
    server's, or that of an entry point in the group ``humanloop_async.providers``.
    """

    def __init__(self, settings: ProviderSettings | None = None) -> None:
        self.settings = settings or ProviderSettings()
        self._created: dict[str, Provider] = {}

    @property
    def names(self) -> list[str]:
        """The names that `get` knows, sorted."""
        return sorted({*_BUILT_IN, *self.settings.compatible, *_entry_points()})

    def describe(self) -> list[ProviderInfo]:
        """Describe all providers: first those that calls can use without a key, then by name."""
        local = local_capabilities(self.settings.local_gguf)
        rows = capability_rows() | {"mock": MOCK_CAPABILITIES, "local": local}
        infos = [
            ProviderInfo(
                name, self._is_ready(name), rows.get(name, Capabilities() if name in self.settings.compatible else None)
            )
            for name in self.names
        ]
        return sorted(infos, key=lambda info: (not info.ready, info.name))

    def _is_ready(self, name: str) -> bool:
        settings = self.settings
        match name:
            case "mock":
                return True
            case "local":
                return unavailable(settings.local_gguf) is None
            case "openai":  # another server at this URL may need no key
                return settings.openai_api_key is not None or settings.openai_base_url != OPENAI_BASE_URL
            case _:
                has_key = name in settings.keys or name in settings.compatible
                return has_key or (name not in _BUILT_IN)

    def get(self, name: str) -> Provider:
        """Return the provider with that v4 name.

        Raises:
            ProviderError: There is no such provider (422); the message lists those there are.
        """
        provider = self._created.get(name)
        if provider is None:
            provider = self._created[name] = self._factory(name)(self.settings)
            if isinstance(provider, HttpProvider):
                provider.response_timeout = self.settings.response_timeout
                provider.idle_timeout = self.settings.idle_timeout
        return provider

    def _factory(self, name: str) -> Factory:
        if factory := _BUILT_IN.get(name):
            return factory
        if name in self.settings.compatible:
            return partial(_compatible, name)
        if entry_point := _entry_points().get(name):
            loaded: Factory = entry_point.load()
            return loaded
        message = _UNSUPPORTED.get(name) or f"unknown provider {name!r}; this server has {', '.join(self.names)}"
        raise ProviderError(422, message, PLATFORM)

    async def aclose(self) -> None:
        """Close every provider. Closing again has no effect."""
        while self._created:
            _, provider = self._created.popitem()
            await provider.aclose()


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry_point.name: entry_point for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
