"""``openai_azure``: OpenAI's models in a resource of Azure, per deployment or at ``/openai/v1``.

Sources, read on 2026-11-30: learn.microsoft.com/azure/foundry/openai/api-version-lifecycle and
.../azure/ai-foundry/openai/reference; ``lib/azure.py`` of ``openai`` 3.57.0 on PyPI.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from ...transport.base import Transport
from ...types import Json
from .base import ProviderCall, ProviderError
from .http_provider import HttpProvider
from .openai import OpenAIAdapter
from .settings import AZURE_API_VERSION, AZURE_HOSTS
from .urls import check_azure_endpoint, host_matches, url_host


class AzureAdapter(OpenAIAdapter):
    """OpenAI's wire format, with Azure's header for the key."""

    def __init__(self) -> None:
        super().__init__("Azure OpenAI")

    def headers(self, call: ProviderCall, key: str | None) -> dict[str, str]:
        return {} if key is None else {"api-key": key}


class AzureProvider(HttpProvider):
    """OpenAI's models in Azure. The model is the name of a deployment.

    Args:
        endpoint: URL of the resource, for calls without one.
        api_key: The key of that resource. It is never sent to a caller's endpoint.
        api_version: Version of the API; not used by an endpoint that ends in ``/openai/v1``.
        hosts: Patterns of the hosts that callers may name as endpoints.
        max_retries: Most attempts after the first one.
        transport: Sends the requests, and is closed with the provider.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        api_version: str = AZURE_API_VERSION,
        *,
        hosts: Sequence[str] = AZURE_HOSTS,
        max_retries: int = 0,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(
            "openai_azure",
            "Azure OpenAI",
            AzureAdapter(),
            base_url=endpoint or "",
            api_key=api_key,
            key_variable="AZURE_OPENAI_API_KEY",
            max_n=128,
            max_retries=max_retries,
            transport=transport,
        )
        self._api_version = api_version
        self._hosts = tuple(hosts)

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        self.url(call)  # so that a wrong endpoint is an error before the call is logged
        return super().request_body(call)

    def key(self, call: ProviderCall) -> str | None:
        if call.keys.openai_azure_endpoint and not call.keys.openai_azure:
            message = (
                "no API key for openai_azure: send provider_api_keys.openai_azure along with "
                "provider_api_keys.openai_azure_endpoint; AZURE_OPENAI_API_KEY is only for the server's endpoint"
            )
            raise ProviderError(401, message, self.origin)
        return super().key(call)

    def url(self, call: ProviderCall) -> str:
        """Return the URL of a call.

        Raises:
            ProviderError: There is no endpoint, or callers may not name this one (422).
        """
        endpoint = self._endpoint(call)
        path = self.adapter.path(call)
        if endpoint.endswith("/openai/v1"):
            return endpoint + path
        if not call.model.strip("."):  # such a segment would change the rest of the path
            raise ProviderError(422, f"model: {call.model!r} is not the name of a deployment", self.origin)
        deployment = quote(call.model, safe="")
        return f"{endpoint}/openai/deployments/{deployment}{path}?api-version={quote(self._api_version)}"

    def _endpoint(self, call: ProviderCall) -> str:
        given = call.keys.openai_azure_endpoint
        if not given:
            if not self._base_url:
                message = (
                    "no endpoint for openai_azure: set AZURE_OPENAI_ENDPOINT for the server, or send "
                    "provider_api_keys.openai_azure_endpoint with the request"
                )
                raise ProviderError(422, message, self.origin)
            return self._base_url
        try:
            endpoint = check_azure_endpoint("provider_api_keys.openai_azure_endpoint", given)
        except ValueError as exc:
            raise ProviderError(422, str(exc), self.origin) from None
        if endpoint != self._base_url and not host_matches(url_host(endpoint), self._hosts):
            message = (
                f"provider_api_keys.openai_azure_endpoint: the host {url_host(endpoint)!r} is not allowed; use a host "
                f"like {', '.join(self._hosts)}, or add it to HUMANLOOP_PROVIDER_CALLER_HOSTS on the server"
            )
            raise ProviderError(422, message, self.origin)
        return endpoint
