"""The table of well-known providers with an OpenAI-compatible API."""
# ruff: noqa: E501 - the events are as documented

from __future__ import annotations

from typing import Any

import pytest

from humanloop_async.server.providers.base import ProviderError
from humanloop_async.server.providers.http_provider import HttpProvider
from humanloop_async.server.providers.preset_adapter import PresetAdapter
from humanloop_async.server.providers.presets import PRESETS
from humanloop_async.server.providers.registry import Providers
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.server.providers.urls import check_base_url
from humanloop_async.testing import ScriptedServer
from humanloop_async.types import ChatMessage, ProviderApiKeys, ResponseFormat
from tests.server.providers.transcripts import add_random_splits, call, stream_all

# From docs.ai21.com/reference/jamba-1-6-api-ref: the usage is in the last event, and there are no stream options.
JAMBA = b"""data: {"id": "cmpl-392a6af6", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}]}

data: {"id": "cmpl-392a6af6", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": null}]}

data: {"id": "cmpl-392a6af6", "choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 107, "completion_tokens": 2, "total_tokens": 109}}

data: [DONE]

"""

# From api-docs.deepseek.com: the text of thinking is in `reasoning_content`.
DEEPSEEK = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "9.8", "reasoning_content": "Hm."},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}


def preset(name: str, base_url: str) -> HttpProvider:
    variable = f"HUMANLOOP_PROVIDER_{name.upper()}_BASE_URL"
    keys = dict.fromkeys(PRESETS[name].key_variables[:1], f"{name}-0123456789")
    provider = Providers(ProviderSettings.from_environ({variable: base_url, **keys})).get(name)
    assert isinstance(provider, HttpProvider)
    return provider


@pytest.mark.parametrize("name", PRESETS)
def test_each_base_url_has_the_form_that_settings_require(name: str) -> None:
    found = PRESETS[name]
    assert check_base_url(name, found.base_url, path="/v1" if name != "deepseek" else "") == found.base_url


@pytest.mark.parametrize("name", PRESETS)
async def test_each_preset_sends_its_key_to_its_url(scripted: ScriptedServer, name: str) -> None:
    provider = preset(name, f"{scripted.url}/v1")
    scripted.add_response(DEEPSEEK)
    reply = await provider.generate(call(model="m"))
    assert reply.samples[0].text == "9.8"
    (request,) = scripted.requests
    assert request.path == "/v1/chat/completions"
    expected = f"Bearer {name}-0123456789" if PRESETS[name].key_variables else None
    assert request.headers.get("authorization") == expected
    await provider.aclose()


@pytest.mark.parametrize("name", [name for name, found in PRESETS.items() if found.key_variables])
async def test_a_missing_key_names_provider_and_variable(name: str) -> None:
    providers = Providers()
    with pytest.raises(ProviderError, match=f"for {name}: set {PRESETS[name].key_variables[0]} ") as caught:
        await providers.get(name).generate(call())
    assert (caught.value.status, caught.value.origin) == (401, PRESETS[name].origin)
    await providers.aclose()


async def test_ai21_streams(scripted: ScriptedServer) -> None:
    provider = preset("ai21", f"{scripted.url}/v1")
    add_random_splits(scripted, JAMBA)
    chunks, usage, error = await stream_all(provider, call(model="jamba-large", stop=["END"], user="left out"))
    assert error is None
    assert "".join(made.text for made in chunks) == "Hi!"
    assert usage.total_tokens == 109
    body = scripted.requests[0].json
    assert "stream_options" not in body
    assert "user" not in body
    assert (body["stop"], body["stream"]) == (["END"], True)
    await provider.aclose()


async def test_v4_has_fields_for_the_keys_of_some(scripted: ScriptedServer) -> None:
    scripted.add_response(DEEPSEEK)
    provider = preset("deepseek", f"{scripted.url}/v1")
    await provider.generate(call(keys=ProviderApiKeys(deepseek="own-0123456789")))
    assert scripted.requests[0].headers["authorization"] == "Bearer own-0123456789"
    await provider.aclose()


@pytest.mark.parametrize(
    ("name", "fields", "parameter"),
    [
        ("ai21", {"response_format": ResponseFormat(type="json_schema")}, "json_schema"),
        ("ai21", {"tool_choice": "required"}, "tool_choice"),
        ("deepseek", {"seed": 1}, "seed"),
        ("groq", {"endpoint": "complete", "logprobs": 2}, "logprobs"),
        ("google", {"presence_penalty": 1}, "presence_penalty"),
        ("mistral", {"reasoning_effort": "low"}, "reasoning_effort"),
        ("xai", {"endpoint": "complete", "suffix": "x"}, "suffix"),
    ],
)
def test_a_parameter_that_a_preset_lacks_is_named(name: str, fields: Any, parameter: str) -> None:
    with pytest.raises(ProviderError, match=f"{PRESETS[name].origin} does not support.*{parameter}"):
        Providers().get(name).request_body(call(**fields))


def test_groq_gets_no_names_of_messages() -> None:
    """It rejects them, and a name does not change who speaks."""
    adapter = PresetAdapter(PRESETS["groq"])
    body = adapter.body(call(messages=[ChatMessage(role="user", content="hi", name="Ada")]))
    assert body["messages"] == [{"role": "user", "content": "hi"}]
