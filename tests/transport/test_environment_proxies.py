"""Proxies from the environment, and the hosts that NO_PROXY excepts."""

from __future__ import annotations

import pytest

from humanloop_async import AiohttpTransport, AsyncHumanloop, HttpxTransport, InvalidArgument
from humanloop_async.testing import ScriptedServer
from humanloop_async.transport.proxy import EnvironmentProxies, parse_proxy
from tests.events import completion

VARIABLES = [f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")] + ["SSL_CERT_FILE"]
TRANSPORTS = [AiohttpTransport, HttpxTransport]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("exceptions", "host", "direct"),
    [
        ("*", "api.example", True),
        ("example.com", "example.com", True),
        ("example.com", "EU.Example.com", True),
        ("example.com", "notexample.com", False),
        (".example.com", "eu.example.com", True),
        ("*.example.com", "eu.example.com", True),
        ("a, b  c,,", "c", True),
        ("example.com:81", "example.com", False),
        ("example.com:80", "example.com", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.7/8", "10.1.2.3", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:81", "127.0.0.1", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "ten.example", False),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]", "0:0:0:0:0:0:0:1", True),
        ("[::1]:80", "::1", True),
        ("[::1]:81", "::1", False),
        ("fd00::/8", "fd12::7", True),
        ("[fd00::/8]", "fd12::7", True),
        ("[fd00::]/8", "fd12::7", True),
        ("fd00::/8", "fe80::7", False),
        ("fe80::/10", "fe80::7%eth0", True),
        ("", "api.example", False),
    ],
)
def test_hosts_that_no_proxy_excepts(exceptions: str, host: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert (EnvironmentProxies(["http"]).find("http", host, 80) is None) is direct


def test_each_scheme_has_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:pass@tls.example:1")
    monkeypatch.setenv("ALL_PROXY", "all.example:2")
    proxies = EnvironmentProxies(["http"])
    assert proxies.find("https", "a", 443) == parse_proxy("", "http://user:pass@tls.example:1", ["http"])
    assert proxies.find("http", "a", 80) == parse_proxy("", "http://all.example:2", ["http"])
    assert "pass" not in repr(proxies.find("https", "a", 443))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PROXY", "ftp://user:s3cret@h"),
        ("http_proxy", "http://user:s3cret@[::1"),
        ("HTTPS_PROXY", "http://h:99999"),
        ("ALL_PROXY", "gopher://h"),
        ("NO_PROXY", "10.0.0.0/99"),
        ("no_proxy", "[::1"),
        ("NO_PROXY", "host:port"),
        ("SSL_CERT_FILE", "/nonexistent.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_an_error_names_the_variable_that_is_wrong(
    transport: type[AiohttpTransport | HttpxTransport], variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "NO" in variable.upper()[:2]:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidArgument, match=variable) as caught:
        transport(trust_env=True)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_proxy_excepts_a_server(
    server: ScriptedServer, transport: type[AiohttpTransport | HttpxTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables name a proxy that does not exist, so only a direct connection succeeds."""
    server.add_response(completion("direct"))
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    ours = transport(trust_env=True)
    async with AsyncHumanloop(base_url=server.url, transport=ours) as client:
        assert (await client.complete(model_config={"model": "m"})).data[0].output == "direct"
    await ours.aclose()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_passwords_from_netrc_are_not_sent(
    server: ScriptedServer,
    transport: type[AiohttpTransport | HttpxTransport],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    netrc = tmp_path_factory.mktemp("home") / ".netrc"
    netrc.write_text("machine 127.0.0.1 login ada password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(netrc.parent))
    server.add_response(completion("a"))
    ours = transport(trust_env=True)
    async with AsyncHumanloop("key", base_url=server.url, transport=ours) as client:
        await client.complete(model_config={"model": "m"})
    await ours.aclose()
    assert "authorization" not in server.requests[0].headers
