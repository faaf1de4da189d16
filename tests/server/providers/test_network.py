"""Proxies, certificates and addresses of the connections to providers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from humanloop_async.server.providers.base import ProviderCall, ProviderError
from humanloop_async.server.providers.network import Network, ProviderTransport, is_direct
from humanloop_async.server.providers.openai import OpenAIProvider
from humanloop_async.server.providers.registry import Providers
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.testing import ScriptedServer
from tests.server.providers.transcripts import call

RESPONSE = {"choices": [{"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "direct"),
    [
        ("api.example", 443, "", False),
        ("api.example", 443, "*", True),
        ("api.example", 443, "example", True),
        ("api.example", 443, ".example", True),
        ("api.example", 443, "*.example", True),
        ("notexample", 443, "example", False),
        ("api.example", 443, "api.example:443", True),
        ("api.example", 443, "api.example:8443", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("fd00::5", 443, "fd00::/8", True),
        ("fd00::5", 443, "[fd00::]/8", True),
        ("fd00::5", 443, "[fd00::5]", True),
        ("fd00::5", 443, "[fd00::5]:443", True),
        ("fd00::5", 443, "[fd00::5]:80", False),
        ("2001:db8::1", 443, "fd00::/8", False),
        ("127.0.0.1", 80, "", True),
        ("localhost", 80, "", True),
        ("::1", 80, "", True),
    ],
)
def test_no_proxy(host: str, port: int, no_proxy: str, direct: bool) -> None:
    assert is_direct(host, port, no_proxy.split()) is direct


def test_proxies_are_read_from_the_environment() -> None:
    environ = {"HTTP_PROXY": "http://a:1", "https_proxy": "b:2", "HTTPS_PROXY": "http://c:3", "NO_PROXY": "x, y.z"}
    network = Network.from_environ(environ)
    assert network.proxy_for("http://api.example/v1") == "http://a:1"
    assert network.proxy_for("https://api.example/v1") == "http://b:2"
    assert network.proxy_for("https://y.z/v1") is None
    with pytest.raises(ValueError, match="HTTPS_PROXY") as caught:
        Network.from_environ({"HTTPS_PROXY": "socks5://me:secret@p"})
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Network(http_proxy="http://me:secret@p"))


async def test_calls_go_through_the_proxy_except_to_loopback(scripted: ScriptedServer, server: ScriptedServer) -> None:
    server.add_response(RESPONSE)
    network = Network(http_proxy=server.url, trusted_hosts=("plain.example",))
    provider = OpenAIProvider("http://plain.example/v1", "sk-0123456789", ProviderTransport(network))
    reply = await provider.generate(call())
    assert reply.samples[0].text == "hello"
    assert [request.path for request in server.requests] == ["http://plain.example/v1/chat/completions"]
    await provider.aclose()
    provider = OpenAIProvider(f"{scripted.url}/v1", "sk-0123456789", ProviderTransport(network))
    scripted.add_response(RESPONSE)
    await provider.generate(call())
    assert len(server.requests) == 1
    assert len(scripted.requests) == 1
    await provider.aclose()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def getaddrinfo(
        self: asyncio.BaseEventLoop, host: str, port: int, **options: Any
    ) -> list[tuple[Any, Any, int, str, tuple[str, int]]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
async def test_a_name_with_a_private_address_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, scripted: ScriptedServer, address: str
) -> None:
    """The check is on the address of the connection, so that a name cannot change its address after the check."""
    resolve_to(monkeypatch, address)
    port = scripted.url.rpartition(":")[2]
    provider = OpenAIProvider(f"http://rebound.example:{port}/v1", "sk-0123456789", ProviderTransport(Network()))
    with pytest.raises(ProviderError, match=r"'rebound.example' is private.*TRUSTED_HOSTS") as caught:
        await provider.generate(call())
    assert caught.value.status == 422
    assert not scripted.requests
    assert scripted.connections == 0
    await provider.aclose()


async def test_a_trusted_name_may_have_a_private_address(
    monkeypatch: pytest.MonkeyPatch, scripted: ScriptedServer
) -> None:
    resolve_to(monkeypatch, "127.0.0.1")
    port = scripted.url.rpartition(":")[2]
    network = Network(trusted_hosts=("*.internal",))
    provider = OpenAIProvider(f"http://vllm.internal:{port}/v1", "sk-0123456789", ProviderTransport(network))
    scripted.add_response(RESPONSE)
    assert (await provider.generate(call())).samples[0].text == "hello"
    await provider.aclose()


async def test_a_redirect_is_not_followed(scripted: ScriptedServer) -> None:
    """The key would go to another origin."""
    provider = OpenAIProvider(f"{scripted.url}/v1", "sk-0123456789", ProviderTransport(Network()))
    scripted.add_response(b"", "307 Temporary Redirect", {"Location": "https://evil.example/v1"})
    with pytest.raises(ProviderError) as caught:
        await provider.generate(call())
    assert caught.value.status == 503
    assert len(scripted.requests) == 1
    await provider.aclose()


@pytest.mark.parametrize(
    ("host", "is_tls", "reason"),
    [
        ("localhost", True, "the certificate was rejected: "),
        ("localhost", False, "TLS failed: "),
    ],
)
async def test_an_error_of_tls_says_why(host: str, is_tls: bool, reason: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    connections = 0

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0, ssl=context if is_tls else None)
    port = server.sockets[0].getsockname()[1]
    settings = ProviderSettings(openai_base_url=f"https://{host}:{port}/v1", openai_api_key="sk-1", max_retries=2)
    providers = Providers(settings)
    async with server:
        with pytest.raises(ProviderError, match=f"cannot reach the provider: {reason}") as caught:
            await providers.get("openai").generate(ProviderCall(provider="openai", model="m"))
        await providers.aclose()
    assert "Operation not permitted" not in str(caught.value)
    if is_tls:
        assert "unable to get local issuer certificate" in str(caught.value) or "self-signed" in str(caught.value)


async def test_a_private_authority_in_ssl_cert_file_is_trusted(tmp_path: Path) -> None:
    """OpenSSL reads the variable when the process starts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    scripted = ScriptedServer(tls=context)
    scripted.add_response(RESPONSE)
    async with scripted:
        port = scripted.url.rpartition(":")[2]
        code = (
            "import asyncio\n"
            "from humanloop_async.server.providers.base import ProviderCall\n"
            "from humanloop_async.server.providers.registry import Providers\n"
            "from humanloop_async.server.providers.settings import ProviderSettings\n"
            "async def main():\n"
            "    providers = Providers(ProviderSettings(\n"
            f"        openai_base_url='https://localhost:{port}/v1', openai_api_key='sk-0123456789', max_retries=0))\n"
            "    reply = await providers.get('openai').generate(ProviderCall(provider='openai', model='m'))\n"
            "    print(reply.samples[0].text)\n"
            "    await providers.aclose()\n"
            "asyncio.run(main())\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            env={"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "PATH": ""},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
    assert out.decode().strip() == "hello", errors.decode()
