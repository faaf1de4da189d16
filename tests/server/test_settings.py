"""Settings from environment variables."""

from __future__ import annotations

import pytest

from humanloop_async.server import ServerSettings


def test_settings_come_from_the_environment_and_do_not_show_keys() -> None:
    settings = ServerSettings.from_environ(
        {"HUMANLOOP_API_KEY": " hl_secret ", "OPENAI_API_KEY": "sk-secret", "HUMANLOOP_MOCK_TOKENS_PER_SECOND": "5"}
    )
    assert settings.api_key == "hl_secret"
    assert settings.providers.openai_api_key == "sk-secret"
    assert settings.providers.mock_tokens_per_second == 5
    assert "secret" not in repr(settings)
    assert ServerSettings.from_environ({}).api_key is None
    with pytest.raises(ValueError, match="HUMANLOOP_MOCK_TOKENS_PER_SECOND"):
        ServerSettings.from_environ({"HUMANLOOP_MOCK_TOKENS_PER_SECOND": "fast"})
