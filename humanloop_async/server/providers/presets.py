"""Well-known providers with an OpenAI-compatible API: their URLs, keys and capabilities.

Read on 2026-11-30: docs.ai21.com/reference/jamba-1-6-api-ref and the types of ``ai21`` 4.3.0 on PyPI. Of the other
pages only excerpts were read, and none of vLLM's and LM Studio's: check a row before you rely on it. The pages are
api-docs.deepseek.com; ai.google.dev/gemini-api/docs/openai; console.groq.com/docs/openai; docs.mistral.ai/api;
openrouter.ai/docs/api-reference; docs.together.ai/docs/openai-api-compatibility; docs.x.ai/docs/api-reference;
docs.ollama.com/api/openai-compatibility; docs.vllm.ai (OpenAI-compatible server); lmstudio.ai/docs/developer.
"""

from __future__ import annotations

from msgspec import Struct

from .capabilities import Capabilities


class Preset(Struct, frozen=True, kw_only=True):
    """A provider with an OpenAI-compatible API.

    Attributes:
        origin: The display name.
        base_url: The usual base URL.
        key_variables: Environment variables of the key, the first of which is named in errors. Empty if the provider
            needs no key.
        capabilities: The parameters that the provider has.
        stream_options: Whether it knows `stream_options`, which asks others for token counts.
        message_names: Whether messages may have a name.
    """

    origin: str
    base_url: str
    key_variables: tuple[str, ...] = ()
    capabilities: Capabilities
    stream_options: bool = True
    message_names: bool = True


_ONE_SAMPLE = {"native_samples": False}  # several samples are several requests, which works everywhere

PRESETS: dict[str, Preset] = {
    "ai21": Preset(
        origin="AI21",
        base_url="https://api.ai21.com/studio/v1",
        key_variables=("AI21_API_KEY",),
        capabilities=Capabilities(
            **_ONE_SAMPLE,
            penalties=False,
            seed=False,
            json_schema=False,
            completions=False,
            user=False,
            effort=False,
            tool_choice=False,
            images=False,
            thinking=False,
            reasoning_tokens=False,
        ),
        stream_options=False,
    ),
    "deepseek": Preset(
        origin="DeepSeek",
        base_url="https://api.deepseek.com",
        key_variables=("DEEPSEEK_API_KEY",),
        capabilities=Capabilities(
            **_ONE_SAMPLE, seed=False, json_schema=False, completions=False, user=False, images=False
        ),
    ),
    "google": Preset(
        origin="Google",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        capabilities=Capabilities(**_ONE_SAMPLE, penalties=False, seed=False, completions=False, user=False),
    ),
    "groq": Preset(
        origin="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_variables=("GROQ_API_KEY",),
        capabilities=Capabilities(**_ONE_SAMPLE, penalties=False, completions=False),
        message_names=False,
    ),
    "mistral": Preset(
        origin="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_variables=("MISTRAL_API_KEY",),
        # The API's seed is `random_seed`, which `other` can set.
        capabilities=Capabilities(**_ONE_SAMPLE, seed=False, completions=False, user=False, effort=False),
    ),
    "openrouter": Preset(
        origin="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEY",),
        capabilities=Capabilities(**_ONE_SAMPLE),
    ),
    "together": Preset(
        origin="Together AI",
        base_url="https://api.together.ai/v1",
        key_variables=("TOGETHER_API_KEY",),
        capabilities=Capabilities(**_ONE_SAMPLE, user=False),
    ),
    "xai": Preset(
        origin="xAI",
        base_url="https://api.x.ai/v1",
        key_variables=("XAI_API_KEY",),
        capabilities=Capabilities(**_ONE_SAMPLE, completions=False, thinking=False),
    ),
    "ollama": Preset(
        origin="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        capabilities=Capabilities(**_ONE_SAMPLE, tool_choice=False, reasoning_tokens=False),
    ),
    "vllm": Preset(origin="vLLM", base_url="http://127.0.0.1:8000/v1", capabilities=Capabilities(**_ONE_SAMPLE)),
    "lmstudio": Preset(
        origin="LM Studio",
        base_url="http://127.0.0.1:1234/v1",
        capabilities=Capabilities(**_ONE_SAMPLE),
    ),
}
"""By their v4 names."""
