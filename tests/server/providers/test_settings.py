"""Settings of the providers from the environment."""

from __future__ import annotations

import pytest

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
    """Names become lower case, trailing slashes are dropped, and empty variables are absent."""
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


def test_the_vendors_variables_configure_their_providers() -> None:
    settings = ProviderSettings.from_environ(
        {
            "ANTHROPIC_API_KEY": "a",
            "ANTHROPIC_BASE_URL": "https://gateway.example/anthropic/",
            "COHERE_API_KEY": "c",
            "CO_API_KEY": "ignored",
            "COHERE_BASE_URL": "https://cohere.example",
            "AZURE_OPENAI_API_KEY": "z",
            "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/openai/v1/",
            "OPENAI_API_VERSION": "2025-04-01-preview",
            "GOOGLE_API_KEY": "g",
            "MISTRAL_API_KEY": "m",
            "HUMANLOOP_PROVIDER_CALLER_HOSTS": "*.corp.example, azure.example",
            "HUMANLOOP_PROVIDER_MAX_RETRIES": "0",
        }
    )
    assert settings.keys == {"anthropic": "a", "cohere": "c", "openai_azure": "z", "google": "g", "mistral": "m"}
    assert settings.base_urls == {
        "anthropic": "https://gateway.example/anthropic",
        "cohere": "https://cohere.example",
    }
    assert settings.azure_endpoint == "https://mine.openai.azure.com/openai/v1"
    assert settings.azure_api_version == "2025-04-01-preview"
    assert settings.caller_hosts[-2:] == ("*.corp.example", "azure.example")
    assert settings.caller_hosts[:3] == (
        "*.openai.azure.com",
        "*.cognitiveservices.azure.com",
        "*.services.ai.azure.com",
    )
    assert settings.max_retries == 0


def test_a_compatible_server_has_a_prefix_a_query_and_headers() -> None:
    settings = ProviderSettings.from_environ(
        {
            "HUMANLOOP_PROVIDER_GW_BASE_URL": "https://gw.example",
            "HUMANLOOP_PROVIDER_GW_PATH_PREFIX": "/tenants/7/",
            "HUMANLOOP_PROVIDER_GW_QUERY": "?api-version=1&team=a b",
            "HUMANLOOP_PROVIDER_GW_HEADERS": '{"X-Team": "secret-team"}',
            "HUMANLOOP_PROVIDER_GROQ_API_KEY": "gq",
        }
    )
    assert settings.compatible == {
        "gw": CompatibleServer(
            base_url="https://gw.example/tenants/7",
            query="api-version=1&team=a%20b",
            headers={"X-Team": "secret-team"},
        ),
        "groq": CompatibleServer(base_url="https://api.groq.com/openai/v1", api_key="gq"),
    }
    assert "secret" not in repr(settings)


def test_a_trusted_host_may_use_http() -> None:
    environ = {"HUMANLOOP_PROVIDER_VLLM_BASE_URL": "http://vllm:8000/v1"}
    with pytest.raises(ValueError, match=r"HUMANLOOP_PROVIDER_VLLM_BASE_URL.*HUMANLOOP_PROVIDER_TRUSTED_HOSTS"):
        ProviderSettings.from_environ(environ)
    settings = ProviderSettings.from_environ({**environ, "HUMANLOOP_PROVIDER_TRUSTED_HOSTS": "vllm *.internal"})
    assert settings.compatible["vllm"].base_url == "http://vllm:8000/v1"
    assert settings.network.trusted_hosts == ("vllm", "*.internal")


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
        ("OPENAI_BASE_URL", "https://api.openai.example"),
        ("OPENAI_BASE_URL", "https://api.openai.example/v1/chat/completions"),
        ("ANTHROPIC_BASE_URL", "https://api.anthropic.example/v1"),
        ("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com/openai/deployments/x"),
        ("HUMANLOOP_PROVIDER_X_PATH_PREFIX", "a b"),
        ("HUMANLOOP_PROVIDER_X_HEADERS", "X-Team: a"),
        ("HUMANLOOP_PROVIDER_X_HEADERS", '{"X-Team": "a\\nb"}'),
        ("HUMANLOOP_PROVIDER_MAX_RETRIES", "many"),
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
    environ = {**ENVIRON, name: value}
    if name.endswith(("_PREFIX", "_HEADERS")):
        environ["HUMANLOOP_PROVIDER_X_BASE_URL"] = "https://x.example"
    prefix = name.removesuffix("_API_KEY").removesuffix("_BASE_URL")
    with pytest.raises(ValueError, match=prefix):
        ProviderSettings.from_environ(environ)
