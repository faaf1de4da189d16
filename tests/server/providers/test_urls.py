"""Checks of providers' URLs."""

from __future__ import annotations

import pytest

from humanloop_async.server.providers.urls import (
    check_azure_endpoint,
    check_base_url,
    check_url,
    host_matches,
    is_loopback,
    is_public,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example/v1/",
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000/v1",
        "http://ollama.localhost/v1",
        "http://[::1]:8000/v1",
        "http://vllm.internal:8000/v1",
        "https://10.0.0.5/v1",
    ],
)
def test_a_url_may_be_https_or_loopback_or_trusted(url: str) -> None:
    assert check_url("X", url, ["*.internal", "10.0.0.*"]) == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://api.example", "http:// or https://"),
        ("api.example/v1", "http:// or https://"),
        ("http://[::1", "valid host and port"),
        ("http://h:99999/v1", "valid host and port"),
        ("https://a..b/v1", "valid host and port"),
        ("https://h/v1?token=x", "query"),
        ("https://h/v1\r\nX: 1", "query"),
        ("http://api.example/v1", "loopback and trusted hosts"),
        ("http://vllm:8000/v1", "'vllm' to HUMANLOOP_PROVIDER_TRUSTED_HOSTS"),
        ("https://10.0.0.5/v1", "private address"),
        ("https://169.254.169.254/v1", "private address"),
        ("https://[fe80::1]/v1", "private address"),
        ("https://[fd00::1]/v1", "private address"),
        ("https://[::ffff:10.0.0.5]/v1", "private address"),
        ("http://127.0.0.1.evil.example/v1", "loopback and trusted hosts"),
    ],
)
def test_other_urls_are_rejected(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check_url("THE_VARIABLE", url)
    assert "THE_VARIABLE" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "has_version", "right"),
    [
        ("https://h/v1/chat/completions", True, "https://h/v1"),
        ("https://h/v1/completions/", True, "https://h/v1"),
        ("https://h/openai/chat/completions", True, "https://h/openai"),
        ("https://h", True, "https://h/v1"),
        ("https://h/", True, "https://h/v1"),
        ("https://h/v1", False, "https://h"),
        ("https://h/v1/messages", False, "https://h"),
        ("https://h/v2/chat", False, "https://h"),
    ],
)
def test_a_base_url_of_the_wrong_form_gets_the_right_one(url: str, has_version: bool, right: str) -> None:
    with pytest.raises(ValueError, match=f"use {right}$"):
        check_base_url("X", url, path="/v1" if has_version else "", has_version=has_version)


def test_a_message_contains_no_password() -> None:
    with pytest.raises(ValueError, match="must not end in") as caught:
        check_base_url("X", "https://me:secret@h/v1/chat/completions")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://gateway.example/openai", "https://h/v1beta/openai", "https://h/api/v3"])
def test_a_gateway_may_have_another_path(url: str) -> None:
    assert check_base_url("X", url, path="/v1") == url


def test_the_endpoint_of_azure_is_a_root_or_ends_in_openai_v1() -> None:
    assert check_azure_endpoint("X", "https://h.example/ ") == "https://h.example"
    assert check_azure_endpoint("X", "https://h.example/openai") == "https://h.example"
    assert check_azure_endpoint("X", "https://h.example/openai/v1/") == "https://h.example/openai/v1"
    with pytest.raises(ValueError, match=r"use https://h.example or https://h.example/openai/v1"):
        check_azure_endpoint("X", "https://h.example/openai/deployments/m")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd12::1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("not-an-address", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_loopback_and_patterns() -> None:
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("localhost.example")
    assert host_matches("a.openai.azure.com", ["*.openai.azure.com"])
    assert not host_matches("openai.azure.com.evil", ["*.openai.azure.com"])
