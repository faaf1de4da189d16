"""The server that a run measures, as the user names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..types import Json

Api = Literal["v4", "openai"]


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """The server to measure and the parameters of every request.

    Attributes:
        api: The server's API.
        base_url: URL to which the paths of the API are appended: ``.../v4``, or ``.../v1`` for OpenAI's API.
        api_key: The API key; None for none.
        model: Name of the model.
        provider: Name of the provider; only for v4.
        temperature: Randomness of the output; None for the server's default.
        max_tokens: Maximum length of each sample, in tokens; None for the server's default.
        num_samples: Samples per request.
        timeout: Longest wait for the headers, for the first token and between tokens, in seconds.
        extra: Further fields: of the body for OpenAI's API, of the configuration's ``other`` for v4.
        ask_usage: Whether to request token counts with ``stream_options``; only for OpenAI's API.
        keep_text: Whether to record the text of each sample.
    """

    api: Api
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str
    provider: str = "openai"
    temperature: float | None = None
    max_tokens: int | None = None
    num_samples: int = 1
    timeout: float = 120.0
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    ask_usage: bool = True
    keep_text: bool = False
