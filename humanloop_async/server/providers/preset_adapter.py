"""The wire format of the presets."""

from __future__ import annotations

from ...types import Json
from .base import ProviderCall
from .openai import CompatibleAdapter
from .presets import Preset


class PresetAdapter(CompatibleAdapter):
    """The wire format of a preset: OpenAI's, without the fields that the provider rejects."""

    def __init__(self, preset: Preset, completions: bool = False) -> None:
        super().__init__(preset.origin, completions)
        self.capabilities = preset.capabilities
        self._preset = preset

    def body(self, call: ProviderCall) -> dict[str, Json]:
        body = super().body(call)
        if not self.capabilities.user and "user" not in call.other:
            body.pop("user", None)
        messages = body.get("messages")
        if not self._preset.message_names and isinstance(messages, list):
            for message in messages:
                if isinstance(message, dict):
                    message.pop("name", None)
        return body

    def stream_body(self, body: dict[str, Json], call: ProviderCall) -> dict[str, Json]:
        body = super().stream_body(body, call)
        if not self._preset.stream_options and "stream_options" not in call.other:
            body.pop("stream_options", None)
        return body
