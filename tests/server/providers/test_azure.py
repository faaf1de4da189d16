"""OpenAI's models in Azure: URLs, headers, and endpoints that callers name."""
# ruff: noqa: E501 - the events are as documented

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from humanloop_async.server.providers.azure import AzureProvider
from humanloop_async.server.providers.base import ProviderError
from humanloop_async.testing import ScriptedServer
from humanloop_async.types import ProviderApiKeys
from tests.server.providers.transcripts import add_random_splits, call, stream_all

KEY = "azure-0123456789"

# The first event of Azure has the results of its content filter, and no choices.
STREAM = b"""data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}

data: {"choices":[{"content_filter_results":{},"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0}],"id":"chatcmpl-1","model":"gpt-4o"}

data: {"choices":[{"content_filter_results":{"hate":{"filtered":false}},"delta":{"content":"Hello"},"finish_reason":null,"index":0}],"id":"chatcmpl-1"}

data: {"choices":[{"content_filter_offsets":{"check_offset":44},"content_filter_results":{},"finish_reason":null,"index":0}],"id":"","object":""}

data: {"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0}],"id":"chatcmpl-1"}

data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}

data: [DONE]

"""


@pytest.fixture
async def provider(scripted: ScriptedServer) -> AsyncIterator[AzureProvider]:
    made = AzureProvider(scripted.url, KEY, "2024-10-21")
    yield made
    await made.aclose()


async def test_a_deployment_streams(scripted: ScriptedServer, provider: AzureProvider) -> None:
    add_random_splits(scripted, STREAM)
    chunks, usage, error = await stream_all(provider, call(model="my gpt/4"))
    assert error is None
    assert "".join(made.text for made in chunks) == "Hello"
    assert chunks[-1].finish_reason == "stop"
    assert usage.total_tokens == 4
    (request,) = scripted.requests
    assert request.path == "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.json["messages"] == [{"role": "user", "content": "hi"}]


async def test_legacy_completions_of_a_deployment(scripted: ScriptedServer, provider: AzureProvider) -> None:
    scripted.add_response({"choices": [{"index": 0, "text": " upon", "finish_reason": "stop"}]})
    reply = await provider.generate(call(model="gpt-3.5-turbo-instruct", endpoint="complete", prompt="Once"))
    assert reply.samples[0].text == " upon"
    assert scripted.requests[0].path.startswith("/openai/deployments/gpt-3.5-turbo-instruct/completions?")


async def test_an_endpoint_with_openai_v1_needs_no_version(scripted: ScriptedServer) -> None:
    provider = AzureProvider(f"{scripted.url}/openai/v1", KEY)
    scripted.add_response({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]})
    await provider.generate(call(model="gpt-5"))
    (request,) = scripted.requests
    assert request.path == "/openai/v1/chat/completions"
    assert request.headers["api-key"] == KEY
    assert request.json["model"] == "gpt-5"
    await provider.aclose()


async def test_a_callers_key_goes_to_the_servers_endpoint(scripted: ScriptedServer, provider: AzureProvider) -> None:
    scripted.add_response({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]})
    await provider.generate(call(keys=ProviderApiKeys(openai_azure="own-0123456789")))
    assert scripted.requests[0].headers["api-key"] == "own-0123456789"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://mine.openai.azure.com", "https://mine.openai.azure.com/openai/deployments/m/chat/completions"),
        ("https://mine.openai.azure.com/", "https://mine.openai.azure.com/openai/deployments/m/chat/completions"),
        ("https://MINE.cognitiveservices.azure.com/openai", "https://MINE.cognitiveservices.azure.com/openai/deploym"),
        ("https://mine.services.ai.azure.com/openai/v1/", "https://mine.services.ai.azure.com/openai/v1/chat/comple"),
    ],
)
def test_a_caller_names_an_endpoint_of_azure(provider: AzureProvider, endpoint: str, url: str) -> None:
    keys = ProviderApiKeys(openai_azure="own", openai_azure_endpoint=endpoint)
    assert provider.url(call(model="m", keys=keys)).startswith(url)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example",
        "https://mine.openai.azure.com.evil.example",
        "https://openai.azure.com@evil.example",
        "https://evil.example/.openai.azure.com",
        "http://mine.openai.azure.com",
        "https://169.254.169.254",
        "http://127.0.0.1:9",
        "https://[::1]",
        "https://mine.openai.azure.com/openai/deployments/m/chat/completions",
        "https://mine.openai.azure.com?x=1",
        "file:///etc/passwd",
        "mine.openai.azure.com",
    ],
)
def test_other_endpoints_are_rejected(provider: AzureProvider, endpoint: str) -> None:
    """The check is before the call is logged, and the message names the field."""
    keys = ProviderApiKeys(openai_azure="own", openai_azure_endpoint=endpoint)
    with pytest.raises(ProviderError, match=r"provider_api_keys.openai_azure_endpoint") as caught:
        provider.request_body(call(keys=keys))
    assert caught.value.status == 422


def test_the_servers_key_never_goes_to_a_callers_endpoint(provider: AzureProvider) -> None:
    keys = ProviderApiKeys(openai_azure_endpoint="https://mine.openai.azure.com")
    with pytest.raises(ProviderError, match=r"provider_api_keys.openai_azure along with") as caught:
        provider.key(call(keys=keys))
    assert caught.value.status == 401


@pytest.mark.parametrize("model", ["", ".", ".."])
def test_a_model_cannot_change_the_path(provider: AzureProvider, model: str) -> None:
    with pytest.raises(ProviderError, match="not the name of a deployment"):
        provider.request_body(call(model=model))


def test_a_missing_endpoint_or_key_is_named() -> None:
    with pytest.raises(ProviderError, match="AZURE_OPENAI_ENDPOINT"):
        AzureProvider().request_body(call())
    with pytest.raises(ProviderError, match="openai_azure: set AZURE_OPENAI_API_KEY") as caught:
        AzureProvider("https://mine.openai.azure.com").key(call())
    assert (caught.value.status, caught.value.origin) == (401, "Azure OpenAI")


async def test_a_missing_deployment_names_the_url(scripted: ScriptedServer, provider: AzureProvider) -> None:
    body = {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}
    scripted.add_response(json.dumps(body).encode(), "404 Not Found")
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call(model="m"))
    assert caught.value.status == 404
    assert "/openai/deployments/m/chat/completions" in caught.value.message
    assert "api-version" not in caught.value.message
