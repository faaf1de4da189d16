"""The providers of a server by name, and those that other packages add."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from humanloop_async.errors import PLATFORM
from humanloop_async.server.providers.base import ProviderError
from humanloop_async.server.providers.presets import PRESETS
from humanloop_async.server.providers.registry import Providers
from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from tests.server.providers.transcripts import call

BUILT_IN = sorted(["anthropic", "cohere", "local", "mock", "openai", "openai_azure", *PRESETS])


async def test_a_provider_is_created_once_and_found_by_name() -> None:
    gateway = CompatibleServer(base_url="https://gateway.example/v1")
    providers = Providers(ProviderSettings(compatible={"my_gateway": gateway}))
    assert providers.names == sorted([*BUILT_IN, "my_gateway"])
    for name in providers.names:
        provider = providers.get(name)
        assert provider.name == name
        assert providers.get(name) is provider
    assert providers.get("openai").origin == "OpenAI"
    assert providers.get("anthropic").origin == "Anthropic"
    await providers.aclose()
    await providers.aclose()


@pytest.mark.parametrize("name", ["nobody", "langchain", ""])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ProviderError, match=", ".join(BUILT_IN)) as caught:
        Providers().get(name)
    assert (caught.value.status, caught.value.origin) == (422, PLATFORM)


def test_bedrock_names_an_alternative() -> None:
    with pytest.raises(ProviderError, match="'bedrock' is not supported; use 'anthropic'") as caught:
        Providers().get("bedrock")
    assert caught.value.status == 422


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with two entry points, one of them with the name of a built-in provider."""
    (tmp_path / "parrot_provider.py").write_text(
        textwrap.dedent(
            """
            from humanloop_async.server.providers.mock import MockProvider

            class Parrot(MockProvider):
                name = "parrot"
                origin = "Parrot"

            def create(settings):
                return Parrot(settings.mock_tokens_per_second)
            """
        )
    )
    info = tmp_path / "parrot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[humanloop_async.providers]\nparrot = parrot_provider:create\nmock = parrot_provider:create\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("plugin")
async def test_another_package_adds_a_provider() -> None:
    """It cannot replace a built-in one."""
    providers = Providers()
    assert "parrot" in providers.names
    parrot = providers.get("parrot")
    assert (parrot.name, parrot.origin) == ("parrot", "Parrot")
    reply = await parrot.generate(call(provider="parrot"))
    assert reply.samples[0].text
    assert providers.get("mock").origin == "Mock"
    await providers.aclose()
