"""Settings from the environment, and the registry they configure."""

from __future__ import annotations

import pytest

from humanloop_async.server.providers.base import PLATFORM, ProviderError
from humanloop_async.server.providers.registry import Providers
from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings

ENVIRON = {
    "OPENAI_API_KEY": "sk-secret",
    "OPENAI_BASE_URL": "http://127.0.0.1:1/v1/",
    "HUMANLOOP_PROVIDER_MY_GATEWAY_BASE_URL": "https://gateway.example/v1",
    "HUMANLOOP_PROVIDER_MY_GATEWAY_API_KEY": "gw-secret",
    "HUMANLOOP_PROVIDER_MY_GATEWAY_COMPLETIONS": "1",
    "HUMANLOOP_PROVIDER_MY_GATEWAY_MAX_N": "8",
    "HUMANLOOP_PROVIDER_OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1",
    "HUMANLOOP_MOCK_TOKENS_PER_SECOND": "2.5",
    "HUMANLOOP_LOCAL_GGUF": "",
    "PATH": "/bin",
}


def test_the_environment_configures_every_provider() -> None:
    """Names are lower-cased, trailing slashes dropped, empty variables absent."""
    settings = ProviderSettings.from_environ(ENVIRON)
    assert settings.openai_api_key == "sk-secret"
    assert settings.openai_base_url == "http://127.0.0.1:1/v1"
    assert settings.mock_tokens_per_second == 2.5
    assert settings.local_gguf is None
    assert settings.compatible == {
        "my_gateway": CompatibleServer(
            base_url="https://gateway.example/v1", api_key="gw-secret", completions=True, max_n=8
        ),
        "ollama": CompatibleServer(base_url="http://127.0.0.1:11434/v1"),
    }


def test_a_pace_of_zero_is_a_pace() -> None:
    for value, pace in (("0", 0), ("", 12), ("3", 3)):
        environ = {"HUMANLOOP_MOCK_TOKENS_PER_SECOND": value}
        assert ProviderSettings.from_environ(environ, mock_tokens_per_second=12).mock_tokens_per_second == pace


def test_keys_are_never_shown() -> None:
    """Neither in the settings' repr nor in that of a part of them."""
    settings = ProviderSettings.from_environ(ENVIRON)
    assert "secret" not in repr(settings) + str(settings) + repr(settings.compatible)
    settings = ProviderSettings(
        openai_base_url="http://me:secret@x/v1", compatible={"x": CompatibleServer(base_url="http://me:secret@x/v1")}
    )
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_BASE_URL", "localhost:80"),
        ("HUMANLOOP_PROVIDER_X_BASE_URL", "ftp://x"),
        ("HUMANLOOP_PROVIDER_OPENAI_BASE_URL", "http://x"),
        ("HUMANLOOP_PROVIDER_X_BASE_URL", "http://[::1"),
        ("HUMANLOOP_PROVIDER_X_BASE_URL", "http://h:99999/v1"),
        ("HUMANLOOP_PROVIDER_X_BASE_URL", "http://a..b/v1"),
        ("OPENAI_BASE_URL", "http://h/v1?token=x"),
        ("HUMANLOOP_PROVIDER_X_API_KEY", "alone"),
        ("HUMANLOOP_PROVIDER_OLLAMA_COMPLETIONS", "perhaps"),
        ("HUMANLOOP_PROVIDER_OLLAMA_MAX_N", "0"),
        ("HUMANLOOP_MOCK_TOKENS_PER_SECOND", "fast"),
        ("HUMANLOOP_MOCK_TOKENS_PER_SECOND", "-1"),
        ("HUMANLOOP_MOCK_TOKENS_PER_SECOND", "nan"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(name: str, value: str) -> None:
    """The error says which variable to look at."""
    prefix = name.removesuffix("_API_KEY").removesuffix("_BASE_URL")
    with pytest.raises(ValueError, match=prefix):
        ProviderSettings.from_environ({**ENVIRON, name: value})


async def test_a_provider_is_made_once_and_found_by_name() -> None:
    """The same object each time; closing twice does no harm."""
    providers = Providers(ProviderSettings.from_environ(ENVIRON))
    assert providers.names == ["local", "mock", "my_gateway", "ollama", "openai"]
    for name in providers.names:
        provider = providers.get(name)
        assert provider.name == name
        assert providers.get(name) is provider
    assert providers.get("openai").origin == "OpenAI"
    await providers.aclose()
    await providers.aclose()


@pytest.mark.parametrize("name", ["anthropic", "cohere", "nobody", ""])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    """422, in the platform's own name."""
    with pytest.raises(ProviderError, match="local, mock, openai") as caught:
        Providers().get(name)
    assert (caught.value.status, caught.value.origin) == (422, PLATFORM)
