"""Requests through a proxy, with both transports; credentials stay out of error messages."""

from __future__ import annotations

import traceback

import pytest

from humanloop_async import ApiConnectionError, ApiException, AsyncHumanloop, InvalidArgument
from humanloop_async.testing import ScriptedServer
from humanloop_async.transport.proxy import Proxy, parse_proxy
from tests.events import completion


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("http://h:3128", ("http://h:3128", None)),
        ("https://h/", ("https://h", None)),
        ("http://u@h:1", ("http://h:1", ("u", ""))),
        ("http://user:s3%2Fcret@[::1]:1", ("http://[::1]:1", ("user", "s3/cret"))),
    ],
)
def test_a_proxy_url_is_split_into_url_and_credentials(
    proxy: str, expected: tuple[str, tuple[str, str] | None]
) -> None:
    assert parse_proxy("proxy", proxy, ["http", "https"]) == Proxy(*expected)


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
async def test_requests_go_through_the_proxy(
    server: ScriptedServer, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is used only with `trust_env`."""
    server.add_response(completion("through the proxy"))
    target = "http://api.invalid/v4"
    async with AsyncHumanloop(base_url=target, proxy=server.url, transport=transport) as client:  # type: ignore[arg-type]
        assert (await client.complete(model_config={"model": "m"})).data[0].output == "through the proxy"
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    async with AsyncHumanloop(base_url=target, trust_env=True, transport=transport) as client:  # type: ignore[arg-type]
        await client.complete(model_config={"model": "m"})
    assert [request.path for request in server.requests] == [f"{target}/completion"] * 2
    async with AsyncHumanloop(base_url="http://127.0.0.1:9/v4", transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
        with pytest.raises(ApiConnectionError):
            await client.complete(model_config={"model": "m"})
    assert len(server.requests) == 2


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
@pytest.mark.parametrize("target", ["http://api.invalid", "https://api.invalid"])
async def test_a_proxys_rejection_is_an_error_and_not_retried(
    server: ScriptedServer, transport: str, target: str
) -> None:
    """Only the proxy gets the credentials, and the call is not retried."""
    server.add_response({}, "407 Proxy Authentication Required")
    proxy = server.url.replace("http://", "http://user:s3%2Fcret@")
    async with AsyncHumanloop(base_url=target, proxy=proxy, transport=transport) as client:  # type: ignore[arg-type]
        with pytest.raises(ApiException, match="407") as caught:
            await client.complete(model_config={"model": "m"})
    assert not caught.value.retryable
    assert [request.headers["proxy-authorization"] for request in server.requests] == ["Basic dXNlcjpzMy9jcmV0"]
    assert "cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
@pytest.mark.parametrize(
    "proxy",
    [
        "127.0.0.1:1",
        "http://user:s3cret@[::1",
        "ftp://user:s3cret@h",
        "http://u:s3cret@h:99999",
        "http://u:1/s3cret@h",
        "http://a%3Ab:s3cret@h",
    ],
)
def test_an_invalid_proxy_url_is_an_error(transport: str, proxy: str) -> None:
    with pytest.raises(InvalidArgument, match="proxy") as caught:
        AsyncHumanloop(transport=transport, proxy=proxy)  # type: ignore[arg-type]
    assert "cret" not in "".join(traceback.format_exception(caught.value))
