"""The files of the web page, their headers, and the list of providers."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from humanloop_async import EmbeddedServer
from humanloop_async.server.http.page import FOLDER, static_files
from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from tests.server.served import Api, error_message


def root(api: Api) -> str:
    return api.server.base_url.removesuffix("/v4")


async def test_the_page_and_its_files_need_no_key(api: Api) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(root(api) + "/") as response:
            assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
            page = await response.text()
        for name in re.findall(r'(?:src|href)="(page/[^"]+)"', page):
            async with session.get(f"{root(api)}/{name}") as response:
                assert response.status == 200, name


async def test_scripts_in_the_page_are_files() -> None:
    """The content security policy would block inline scripts, styles and handlers."""
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


async def test_no_file_turns_text_into_html() -> None:
    """Except for the sanitiser of Markdown, whose policy is the only one that the headers allow."""
    for path in FOLDER.rglob("*.js"):
        if "vendor" in path.parts:
            continue
        unsafe = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
        )
        assert unsafe == [], path.name


@pytest.mark.parametrize("name", ["", "page/app.js", "page/style.css", "page/views/playground.js"])
async def test_every_file_has_the_security_headers(api: Api, name: str) -> None:
    async with api.session.get(f"{root(api)}/{name}") as response:
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "path", ["page/../settings.py", "page/%2e%2e/settings.py", "page/", "page/no.js", "page/index"]
)
async def test_other_files_are_not_served(api: Api, path: str) -> None:
    async with api.session.get(f"{root(api)}/{path}") as response:
        assert response.status == 404


async def test_files_are_compressed_and_cached(api: Api) -> None:
    url = f"{root(api)}/page/app.js"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(url, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await response.read()) == (FOLDER / "app.js").read_bytes()
            etag = response.headers["ETag"]
        async with session.get(url, headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers
            assert await response.read() == (FOLDER / "app.js").read_bytes()
        async with session.get(url, headers={"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        async with session.get(url, headers={"If-None-Match": '"other"'}) as response:
            assert response.status == 200


def test_the_first_view_stays_below_100_kilobytes() -> None:
    """All files but the libraries, which are loaded when Markdown is chosen; the first view loads only some of them."""
    own = [file for name, file in static_files().items() if not name.startswith("vendor/")]
    assert sum(len(file.compressed) for file in own) < 100_000


async def test_a_server_without_the_page(start: Callable[..., Any]) -> None:
    async with start(page=False) as api:
        for path in ("", "page/app.js", "page/providers"):
            async with api.session.get(f"{root(api)}/{path}") as response:
                assert response.status == 404


async def test_the_list_of_providers(start: Callable[..., Any]) -> None:
    settings = ProviderSettings(
        keys={"groq": "secret"}, compatible={"gateway": CompatibleServer(base_url="http://127.0.0.1:9/v1")}
    )
    async with start(providers=settings) as api:
        async with api.session.get(f"{root(api)}/page/providers") as response:
            assert response.status == 200
            text = await response.text()
            providers = {provider["name"]: provider for provider in await response.json()}
        assert "secret" not in text
        assert {name for name in ("groq", "gateway", "mock", "openai") if providers[name]["ready"]} == {
            "groq",
            "gateway",
            "mock",
        }
        assert providers["anthropic"]["capabilities"]["seed"] is False
        assert providers["openai"]["capabilities"]["images"] is True


async def test_the_list_of_providers_needs_a_key(api: Api) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{root(api)}/page/providers") as response:
        assert response.status == 401


async def test_names_that_are_not_the_servers_are_rejected(api: Api) -> None:
    """A web site whose name points to 127.0.0.1 (DNS rebinding) reads neither the page nor, without a key, the API."""
    evil = {"Host": "evil.example:8460"}
    async with aiohttp.ClientSession() as site:
        for path in ("", "page/app.js", "v4/projects"):
            async with site.get(f"{root(api)}/{path}", headers=evil) as response:
                assert response.status == 421, path
                assert "--allowed-host evil.example" in error_message(await response.json(), 421)
        for path in ("health", "ready"):  # load balancers send any name
            async with site.get(f"{root(api)}/{path}", headers=evil) as response:
                assert response.status == 200
    async with api.session.get(f"{api.server.base_url}/projects", headers=evil) as response:  # with the key
        assert response.status == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8460", "127.0.0.1:1", "127.9.9.9", "[::1]:8460", "app.localhost", "v4.example"]
)
async def test_names_of_a_server_on_loopback(start: Callable[..., Any], host: str) -> None:
    async with start(allowed_hosts=("v4.example",)) as api:
        for _ in range(2):
            async with aiohttp.ClientSession() as site, site.get(root(api), headers={"Host": host}) as response:
                assert response.status == 200


async def test_other_origins_may_not_call_by_default(api: Api) -> None:
    headers = {"Origin": "https://app.example"}
    async with api.session.get(f"{api.server.base_url}/projects", headers=headers) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
    preflight = {**headers, "Access-Control-Request-Method": "POST"}
    async with api.session.options(f"{api.server.base_url}/chat", headers=preflight) as response:
        assert response.status == 405
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(("allowed", "shown"), [("https://app.example", "https://app.example"), ("*", "*")])
async def test_configured_origins_may_call(start: Callable[..., Any], allowed: str, shown: str) -> None:
    async with start(cors_origins=(allowed,)) as api:
        headers = {"Origin": "https://app.example"}
        preflight = {**headers, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        async with (
            aiohttp.ClientSession() as session,
            session.options(f"{api.server.base_url}/chat", headers=preflight) as response,
        ):
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == shown
            assert "X-API-KEY" in response.headers["Access-Control-Allow-Headers"]
            assert "Access-Control-Allow-Credentials" not in response.headers
        for key, status in ((api.server.api_key, 200), ("wrong", 401)):
            async with api.session.get(
                f"{api.server.base_url}/projects", headers={**headers, "X-API-KEY": key}
            ) as response:
                assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, shown)


async def test_streams_have_the_origin_too(start: Callable[..., Any]) -> None:
    async with start(cors_origins=("https://app.example",)) as api:
        body = {"model_config": {"provider": "mock", "model": "m"}, "messages": [], "stream": True}
        async with api.session.post(
            f"{api.server.base_url}/chat", json=body, headers={"Origin": "https://app.example"}
        ) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
            await response.read()


async def test_an_origin_that_is_not_configured_gets_no_header(start: Callable[..., Any]) -> None:
    async with (
        start(cors_origins=("https://app.example",)) as api,
        api.session.get(f"{api.server.base_url}/projects", headers={"Origin": "https://app.example.evil"}) as response,
    ):
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_an_embedded_server_has_the_page() -> None:
    async with (
        EmbeddedServer() as server,
        aiohttp.ClientSession() as session,
        session.get(server.base_url.removesuffix("v4")) as response,
    ):
        assert "text/html" in response.headers["Content-Type"]
